"""Summaries of measures against numbers worked out by hand, and cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.validation import tables as explanations

SETTINGS = StatisticsSettings(confidence=0.9, resamples=100, seed=0)
ENDING = ["mean", "low", "high", "n_images", "n_seeds"]
BANDS = pd.DataFrame(
    {"basis": "dct", "shape": "linf", "band": range(4), "size": [1, 2, 4, 8], "energy": [9.0, 4.0, 2.0, 1.0]}
).assign(position=[0, 0.2, 0.6, 0.9], seed=0)
CURVE = [5.0, 1.0, 3.0, -1.0]


def values(curves: dict[str, list[float]], seeds: int = 2, n: int = 4, spread: float = 0.0) -> pd.DataFrame:
    """Every image of every seed has the curve of its method, give or take; two classes by turns."""
    rng, rows = np.random.default_rng(0), []
    for method, curve in curves.items():
        for seed in range(seeds):
            for image in range(n):
                noisy = np.array(curve) + spread * rng.normal(size=len(curve))
                bands = {f"band_{k}": value for k, value in enumerate(noisy)}
                rows.append({"method": method, "seed": seed, "image": image, "label": image % 2, "error": 0.5, **bands})
    return pd.DataFrame(rows)


def test_the_summaries_of_a_curve_are_those_worked_out_by_hand():
    curve, position = np.array(CURVE), BANDS["position"].to_numpy()
    assert explanations.hf_share(curve, position, 0.5) == pytest.approx(3 / 4)
    assert explanations.centroid(curve, position) == pytest.approx((0.2 * 1 + 0.6 * 3) / 4)
    assert explanations.hf_share(-curve, position, 0.5) == 1.0  # only the last band is then positive
    assert np.isnan(explanations.centroid(np.array([5.0, -1, 0, -2]), position))


def test_curves_and_reliance_have_every_method_band_and_interval():
    table = values({"occluded": CURVE, "shapley": [0, 1, 1, 2]}, spread=0.1)
    found = explanations.curves("standard", 0, table, BANDS, SETTINGS)
    assert list(found) == ["run", "method", "band", "position", *ENDING]
    mine = table[table["method"] == "occluded"][[f"band_{k}" for k in range(4)]].mean()
    np.testing.assert_allclose(found[found["method"] == "occluded"]["mean"], mine, rtol=1e-12)
    assert ((found["low"] <= found["mean"]) & (found["mean"] <= found["high"])).all()
    assert (found["n_images"] == 4).all() and (found["n_seeds"] == 2).all()
    summed = explanations.reliance("standard", 0, values({"occluded": CURVE}), BANDS, 0.5, SETTINGS)
    assert dict(zip(summed["statistic"], summed["mean"], strict=True)) == pytest.approx(
        {"hf_share": 3 / 4, "centroid": 0.5, "error": 0.5}
    )


def test_the_area_of_a_curve_is_its_trapezoid_and_steps_that_are_not_there_are_left_out():
    rows = [
        {"order": "it", "unit": unit, "kind": "deletion", "seed": 0, "image": image, "label": 0, **steps}
        for image in range(2)
        for unit, steps in {
            "band": {"step_0": 1.0, "step_1": 0.5, "step_2": 0.0},
            "coefficient": {"step_0": 1.0, "step_1": 0.2},
        }.items()
    ]
    found = explanations.faithfulness("standard", 0, pd.DataFrame(rows), SETTINGS).set_index("unit")["mean"]
    assert found.to_dict() == pytest.approx({"band": 0.5, "coefficient": 0.6})


def test_sanity_is_the_rank_correlation_of_an_image_with_itself():
    table = values({"a": [9, 1, 2, 3], "b": [9, 1, 2, 3]})
    turned = values({"a": [9, 1, 2, 3], "b": [0, 3, 2, 1]}).assign(shuffled="weights", share=1.0)
    found = explanations.sanity("standard", 0, table, turned[turned["image"] < 2], SETTINGS)
    assert found.set_index("method")["mean"].to_dict() == pytest.approx({"a": 1.0, "b": -1.0})
    assert (found["n_images"] == 2).all()


def test_recovery_counts_the_seeds_that_name_a_planted_band_and_what_its_removal_costs():
    table = values({"finds": [9, 0, 5, 1], "misses": [9, 5, 0, 1]}, seeds=10)
    rows = [
        {
            "seed": seed,
            "image": image,
            "band": band,
            "right": True,
            "right_without": band != 2,
            "right_other": image > 0,
        }
        for seed in range(10)
        for image in range(4)
        for band in range(4)
    ]
    found = explanations.recovery("standard", table, BANDS, pd.DataFrame(rows), [(0.5, 0.7)], SETTINGS)
    found = found.set_index("method")
    assert found["mean"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_named"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_other"].to_dict() == {"finds": 0.25, "misses": 0.25}
    assert found["hurts_more"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found.loc["finds", "low"] == pytest.approx(0.05 ** (1 / 10))  # exact: all of ten, at 90 %
    assert found.loc["finds", "high"] == 1


def choices(curve: list[float]) -> pd.DataFrame:
    parts = []
    for score in ("logit", "margin"):
        cell = {"basis": "dct", "shape": "linf", "baseline": "zero", "score": score, "clip": False}
        parts.append(values({"it": curve}).drop(columns=["method", "error"]).assign(**cell))
    return pd.concat(parts)


def test_every_choice_and_normalisation_gives_the_contrast_worked_out_by_hand():
    tables = {"standard": choices([5, 1, 1, 2]), "adversarial": choices([5, 2, 1, 1])}
    found = explanations.multiverse(tables, BANDS, 0.5, "standard", SETTINGS)
    assert len(found) == 2 * 2 * 3 and set(found["run"]) == {"adversarial"}
    shares = found[(found["statistic"] == "hf_share") & (found["score"] == "logit")].set_index("normalisation")["mean"]
    expected = {
        "raw": 2 / 4 - 3 / 4,
        "per_coefficient": (1 / 4 + 1 / 8) / (1 + 1 / 4 + 1 / 8) - (1 / 4 + 2 / 8) / (1 / 2 + 1 / 4 + 2 / 8),
        "per_energy": (1 / 2 + 1) / (2 / 4 + 1 / 2 + 1) - (1 / 2 + 2) / (1 / 4 + 1 / 2 + 2),
    }
    assert shares.to_dict() == pytest.approx(expected)
    agreed = explanations.signs(found).set_index("statistic")
    assert agreed["n_choices"].to_dict() == {"hf_share": 6, "centroid": 6}
    assert agreed["same_sign"].to_dict() == {"hf_share": 1.0, "centroid": 1.0}
    assert agreed["sure"].to_dict() == {"hf_share": 1.0, "centroid": 1.0}
    assert agreed.loc["hf_share", "median"] == pytest.approx(np.median(list(expected.values())))


def test_checks_that_were_left_out_leave_empty_tables():
    assert explanations.faithfulness("standard", 0, pd.DataFrame(), SETTINGS).empty
    assert explanations.sanity("standard", 0, values({"a": CURVE}), pd.DataFrame(), SETTINGS).empty
    assert explanations.signs(pd.DataFrame()).empty
