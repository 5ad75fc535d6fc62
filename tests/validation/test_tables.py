"""Tables of one run against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from validation_cases import BAND_TABLE, CLUSTERS, CURVE, STATISTICS, assert_points_lie_in_their_intervals, values

from spectroscope.statistics.estimates import SUMMARY
from spectroscope.statistics.intervals import bounded_ends, mean_interval
from spectroscope.validation import tables


def test_curves_and_reliance_have_every_method_band_and_interval():
    table = values({"occluded": CURVE, "shapley": [0, 1, 1, 2]}, seeds=3, spread=0.1)
    found = tables.methods("standard", table, BAND_TABLE, CLUSTERS, STATISTICS)
    assert list(found) == ["run", "method", "band", "position", *SUMMARY]
    mine = table[table["method"] == "occluded"][[f"band_{k}" for k in range(4)]].mean()
    np.testing.assert_allclose(found[found["method"] == "occluded"]["mean"], mine, rtol=1e-12)
    assert_points_lie_in_their_intervals(found)
    assert found["low"].notna().all() and (found["n_images"] == 4).all() and (found["n_seeds"] == 3).all()
    summaries = tables.method_summaries("standard", table, BAND_TABLE, 0.5, CLUSTERS, STATISTICS)
    assert list(summaries) == ["run", "method", "statistic", *SUMMARY]
    assert_points_lie_in_their_intervals(summaries)


def test_a_summary_is_that_of_each_networks_own_curve():
    curves = {0: CURVE, 1: [5.0, 60.0, 0.0, 20.0]}
    table = pd.concat([values({"it": curve}, seeds=1).assign(seed=seed) for seed, curve in curves.items()])
    found = tables.method_summaries("standard", table, BAND_TABLE, 0.5, CLUSTERS, STATISTICS)
    found = found.set_index("statistic")["mean"].to_dict()
    assert found == pytest.approx({"hf_share": (3 / 4 + 1 / 4) / 2, "centroid": (0.5 + 0.375) / 2, "error": 0.5})


def test_the_images_beyond_a_tolerance_are_counted_for_methods_that_have_one():
    table = values({"occluded": CURVE, "integrated": CURVE}, seeds=3)
    table.loc[table["method"] == "integrated", "beyond"] = (table["image"] == 1).astype(float)
    found = tables.method_summaries("standard", table, BAND_TABLE, 0.5, CLUSTERS, STATISTICS)
    (row,) = found[found["statistic"] == "beyond"].itertuples()
    assert (row.method, row.mean) == ("integrated", 0.25) and 0 <= row.low <= 0.25 <= row.high <= 1


def test_the_compared_bands_are_the_same_for_every_seed():
    bands = pd.concat([BAND_TABLE.assign(seed=seed) for seed in (0, 1)])
    found = tables.methods("standard", values({"occluded": CURVE}), bands, CLUSTERS, STATISTICS)
    assert found["position"].tolist() == BAND_TABLE["position"].tolist()


def curves(areas: dict[str, np.ndarray]) -> pd.DataFrame:
    """Deletion curves by band whose area is given: order -> (seeds, images)."""
    rows = []
    for order, grid in areas.items():
        for (seed, image), area in np.ndenumerate(grid):
            steps = {"step_0": area, "step_1": area}
            rows.append({"order": order, "unit": "band", "kind": "deletion", "seed": seed, "image": image, **steps})
    return pd.DataFrame(rows)


def test_the_area_of_a_curve_is_its_trapezoid_and_steps_that_are_not_there_are_left_out():
    rows = [
        {"order": "energy", "unit": unit, "kind": "deletion", "seed": 0, "image": image, "label": 0, **steps}
        for image in range(2)
        for unit, steps in {
            "band": {"step_0": 1.0, "step_1": 0.5, "step_2": 0.0},
            "coefficient": {"step_0": 1.0, "step_1": 0.2},
        }.items()
    ]
    found = tables.faithfulness("standard", pd.DataFrame(rows), CLUSTERS, STATISTICS)
    assert found.set_index("unit")["mean"].to_dict() == pytest.approx({"band": 0.5, "coefficient": 0.6})
    assert found["less_energy"].isna().all()  # nothing is compared with itself


def test_an_order_is_compared_with_that_by_energy_on_the_same_networks_and_images():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 0.8, (3, 30))  # networks and images differ much, orders of one image little
    found = tables.faithfulness(
        "standard", curves({"energy": hard, "it": hard - 0.02 + rng.normal(0, 0.01, (3, 30))}), CLUSTERS, STATISTICS
    ).set_index("order")
    energy, it = found.loc["energy"], found.loc["it"]
    assert it["low"] < energy["mean"] < it["high"] and energy["low"] < it["mean"] < energy["high"]  # they overlap
    assert it["less_energy"] == pytest.approx(it["mean"] - energy["mean"])
    assert it["less_energy_low"] < -0.015 and it["less_energy_high"] < -0.01  # the planted difference is seen
    assert list(found)[-len(SUMMARY) :] == SUMMARY


def test_images_of_one_cluster_count_as_one():
    rng = np.random.default_rng(0)
    areas = np.repeat(rng.uniform(size=(3, 10)), 3, axis=1)
    found = tables.faithfulness("standard", curves({"energy": areas}), np.arange(60) // 3, STATISTICS)
    expected = bounded_ends(*map(np.atleast_1d, mean_interval(areas, 0.9, np.arange(30) // 3)), 0, 1)
    np.testing.assert_allclose(found[["low", "high"]].to_numpy()[0], np.concatenate(expected))


def test_sanity_is_the_rank_correlation_of_an_image_with_itself():
    table = values({"a": [9, 1, 2, 3], "b": [9, 1, 2, 3]}, seeds=3)
    turned = values({"a": [9, 1, 2, 3], "b": [0, 3, 2, 1]}, seeds=3).assign(shuffled="weights", share=1.0)
    found = tables.sanity("standard", table, turned[turned["image"] < 2], CLUSTERS, STATISTICS)
    assert list(found) == ["run", "method", "shuffled", "share", *SUMMARY]
    assert found.set_index("method")["mean"].to_dict() == pytest.approx({"a": 1.0, "b": -1.0})
    assert (found["n_images"] == 2).all()


def test_networks_of_another_number_are_paired_by_seed():
    table = values({"a": [9, 1, 2, 3]}, seeds=4)
    other = values({"a": [9, 1, 3, 2]}, seeds=3).assign(shuffled="labels", share=1.0)
    found = tables.sanity("standard", table, other, CLUSTERS, STATISTICS)
    assert found[["mean", "n_seeds"]].to_numpy().tolist() == [[0.5, 3]]


def test_checks_that_were_left_out_leave_empty_tables():
    nothing = pd.DataFrame()
    assert tables.faithfulness("standard", nothing, CLUSTERS, STATISTICS).empty
    assert tables.sanity("standard", values({"a": CURVE}), nothing, CLUSTERS, STATISTICS).empty
