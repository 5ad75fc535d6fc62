"""Recovery of a planted band, in cases whose answer is known."""

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binom
from validation_cases import BAND_TABLE, STATISTICS, values

from spectroscope.pipeline.params import read
from spectroscope.statistics.estimates import SUMMARY
from spectroscope.validation.recovery import planted_positions, recovery

ROOT = Path(__file__).parents[2]


def tables(curves: dict[str, list[list[float]]]) -> dict[str, pd.DataFrame]:
    """A run whose methods give each network a curve, and whose networks are wrong without band 2."""
    seeds = len(next(iter(curves.values())))
    networks = [{name: curve[seed] for name, curve in curves.items()} for seed in range(seeds)]
    cells = [(seed, image, band) for seed in range(seeds) for image in range(4) for band in range(4)]
    rows = pd.DataFrame(cells, columns=["seed", "image", "band"]).assign(right=True)
    rows = rows.assign(right_without=rows["band"] != 2, right_other=rows["image"] > 0)
    found = pd.concat([values(network, seeds=1).assign(seed=seed) for seed, network in enumerate(networks)])
    return {"values": found, "bands": BAND_TABLE, "interventions": rows}


FINDS, MISSES = [9, 0, 5, 1], [9, 5, 0, 1]


def test_recovery_counts_the_networks_that_name_a_planted_band_and_what_its_removal_costs():
    read = tables({"finds": [FINDS] * 10, "misses": [MISSES] * 10})
    table = recovery({"standard": read}, [], [(0.5, 0.7)], STATISTICS)
    assert list(table)[-len(SUMMARY) :] == SUMMARY
    found = table.set_index("method")
    assert found["mean"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_named"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_other"].to_dict() == {"finds": 0.25, "misses": 0.25}
    assert found["hurts_more"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found.loc["finds", "low"] == pytest.approx(0.05 ** (1 / 10))  # exact: all of ten, at 90 %
    assert found.loc["finds", "high"] == 1
    assert (found["chance"] == 1 / 3).all() and found["p"].to_dict() == pytest.approx({"finds": 3.0**-10, "misses": 1})
    assert found["control"].isna().all() and (found["n_seeds"] == 10).all()


def test_what_the_control_finds_stands_beside_what_the_networks_find():
    read = {"standard": tables({"it": [FINDS] * 5}), "permuted": tables({"it": [FINDS] * 3 + [MISSES]})}
    found = recovery(read, ["permuted"], [(0.5, 0.7)], STATISTICS).set_index("run")
    assert found["labels"].to_dict() == {"standard": "original", "permuted": "permuted"}
    p = binom.sf(2, 4, 1 / 3)
    assert found.loc["standard", "control"] == found.loc["permuted", "mean"] == 0.75
    assert found.loc["standard", "control_p"] == pytest.approx(p) == found.loc["permuted", "p"]
    assert pd.isna(found.loc["permuted", "control"]) and found.loc["permuted", "networks"] == "1 1 1 0"


def test_cues_are_planted_between_their_lowest_and_highest_shell():
    dataset = read(ROOT / "studies" / "planted.yaml")["dataset"]
    planted = dataset | {"size": 32, "cues": [dataset["cues"][0] | {"low": 8, "high": 17}]}
    assert planted_positions(planted) == [(0.25, 0.5)]
    assert planted_positions(read(ROOT / "studies" / "smoke.yaml")["dataset"]) == []
    with pytest.raises(ValueError, match=r"dataset\.size: expected"):
        planted_positions(planted | {"size": 0})
    assert recovery({"standard": tables({"a": [FINDS]})}, [], [], STATISTICS).empty
