"""All tables of runs whose numbers of networks differ, one of them trained on permuted labels."""

import numpy as np
import pandas as pd
import pytest
from validation_cases import BAND_TABLE, CLUSTERS, STATISTICS, assert_points_lie_in_their_intervals, values

from spectroscope.validation import summary

CURVES = {"a": [9.0, 1.0, 2.0, 3.0], "b": [9.0, 2.0, 1.0, 3.0]}
ACROSS = (["permuted"], "standard", [(0.5, 0.7)], 0.5, CLUSTERS, STATISTICS)
CHOICE = {"basis": "dct", "shape": "linf", "baseline": "zero", "score": "logit", "clip": False}


def read(seeds: int) -> dict[str, pd.DataFrame]:
    """The tables that the stage `attribution` writes for a run."""
    table = values(CURVES, seeds, n=12, spread=1.0)
    few = table[table["image"] < 4]
    curves = table.rename(columns={"method": "order"}).assign(unit="band", kind="deletion", step_0=1.0)
    curves = curves.assign(step_1=1 / (1 + curves["band_1"] ** 2))[
        ["order", "unit", "kind", "seed", "image", "step_0", "step_1"]
    ]
    energy = curves[curves["order"] == "a"].assign(order="energy", step_1=0.5)
    cells = [(seed, image, band) for seed in range(seeds) for image in range(12) for band in range(4)]
    rows = pd.DataFrame(cells, columns=["seed", "image", "band"]).assign(right=True, right_without=False)
    repeats = [few.assign(shuffled=kind, share=share) for kind, share in (("before", 0.0), ("nothing", 0.0))]
    return {
        "values": table,
        "bands": BAND_TABLE,
        "curves": pd.concat([curves, energy]),
        "interventions": rows.assign(right_other=True),
        "sanity": pd.concat(repeats),
        "multiverse": table[table["method"] == "a"].drop(columns=["method", "error", "beyond"]).assign(**CHOICE),
        "multiverse_bands": BAND_TABLE,
    }


@pytest.fixture(scope="module")
def found() -> dict[str, pd.DataFrame]:
    runs = {"standard": read(4), "short": read(3), "permuted": read(5)}
    of_runs = [summary.of_run(run, tables, 0.5, CLUSTERS, STATISTICS) for run, tables in runs.items()]
    of_runs.append(summary.across_runs(runs, *ACROSS))
    names = {name for tables in of_runs for name in tables}
    return {name: pd.concat([tables[name] for tables in of_runs if name in tables]) for name in names}


def test_every_point_lies_in_its_interval_whatever_the_numbers_of_networks(found):
    for name, table in found.items():
        if name not in ("signs", "choices"):
            assert_points_lie_in_their_intervals(table)
            assert len(table) and (table["low"].notna().any() or name == "recovery"), name


def test_shuffled_and_permuted_rows_rest_on_the_same_images(found):
    sanity = found["sanity"].query("run == 'standard'")
    assert set(sanity["shuffled"]) == {"nothing", "labels"}
    assert sanity["n_images"].tolist() == [4] * 4 and sanity["n_seeds"].tolist() == [4] * 4
    assert (sanity.loc[sanity["shuffled"] == "nothing", "mean"] == 1).all()


def test_the_control_is_found_by_its_band(found):
    recovery = found["recovery"].set_index(["run", "method"])
    assert recovery.loc[("standard", "a"), "control"] == recovery.loc[("permuted", "a"), "mean"]
    np.testing.assert_allclose(recovery["chance"], 1 / 3)


def test_a_multiverse_that_was_not_computed_has_no_rows_and_no_signs():
    runs = {run: read(3) | {"multiverse": pd.DataFrame(), "multiverse_bands": pd.DataFrame()} for run in ("a", "b")}
    found = summary.across_runs(runs, [], "a", *ACROSS[2:])
    assert found["multiverse"].empty and found["signs"].empty and len(found["concordance"])
