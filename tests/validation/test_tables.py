"""Tables of one run against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from validation_cases import BAND_TABLE, CURVE, ENDING, STATISTICS, values

from spectroscope.validation import tables


def test_curves_and_reliance_have_every_method_band_and_interval():
    table = values({"occluded": CURVE, "shapley": [0, 1, 1, 2]}, spread=0.1)
    found = tables.methods("standard", 0, table, BAND_TABLE, STATISTICS)
    assert list(found) == ["run", "method", "band", "position", *ENDING]
    mine = table[table["method"] == "occluded"][[f"band_{k}" for k in range(4)]].mean()
    np.testing.assert_allclose(found[found["method"] == "occluded"]["mean"], mine, rtol=1e-12)
    assert ((found["low"] <= found["mean"]) & (found["mean"] <= found["high"])).all()
    assert (found["n_images"] == 4).all() and (found["n_seeds"] == 2).all()
    summaries = tables.method_summaries("standard", 0, values({"occluded": CURVE}), BAND_TABLE, 0.5, STATISTICS)
    assert dict(zip(summaries["statistic"], summaries["mean"], strict=True)) == pytest.approx(
        {"hf_share": 3 / 4, "centroid": 0.5, "error": 0.5}
    )


def test_the_compared_bands_are_the_first_in_the_table_of_bands():
    radial = BAND_TABLE.assign(shape="radial", position=[0, 0.1, 0.3, 0.5])
    bands = pd.concat([table.assign(seed=seed) for seed in (0, 1) for table in (BAND_TABLE, radial)])
    found = tables.methods("standard", 0, values({"occluded": CURVE}), bands, STATISTICS)
    assert found["position"].tolist() == BAND_TABLE["position"].tolist()


def test_the_area_of_a_curve_is_its_trapezoid_and_steps_that_are_not_there_are_left_out():
    rows = [
        {"order": "it", "unit": unit, "kind": "deletion", "seed": 0, "image": image, "label": 0, **steps}
        for image in range(2)
        for unit, steps in {
            "band": {"step_0": 1.0, "step_1": 0.5, "step_2": 0.0},
            "coefficient": {"step_0": 1.0, "step_1": 0.2},
        }.items()
    ]
    found = tables.faithfulness("standard", 0, pd.DataFrame(rows), STATISTICS).set_index("unit")["mean"]
    assert found.to_dict() == pytest.approx({"band": 0.5, "coefficient": 0.6})


def test_sanity_is_the_rank_correlation_of_an_image_with_itself():
    table = values({"a": [9, 1, 2, 3], "b": [9, 1, 2, 3]})
    turned = values({"a": [9, 1, 2, 3], "b": [0, 3, 2, 1]}).assign(shuffled="weights", share=1.0)
    found = tables.sanity("standard", 0, table, turned[turned["image"] < 2], STATISTICS)
    assert found.set_index("method")["mean"].to_dict() == pytest.approx({"a": 1.0, "b": -1.0})
    assert (found["n_images"] == 2).all()


def test_checks_that_were_left_out_leave_empty_tables():
    assert tables.faithfulness("standard", 0, pd.DataFrame(), STATISTICS).empty
    assert tables.sanity("standard", 0, values({"a": CURVE}), pd.DataFrame(), STATISTICS).empty
