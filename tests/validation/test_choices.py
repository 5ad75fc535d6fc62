"""The contrast under every choice and normalisation, worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from validation_cases import BAND_TABLE, CLUSTERS, STATISTICS, values

from spectroscope.statistics.cells import CELLS
from spectroscope.validation.choices import by_choice, contrasts, signs


def choices(curve: list[float], seeds: int = 3) -> pd.DataFrame:
    parts = []
    for score in ("logit", "margin"):
        cell = {"basis": "dct", "shape": "linf", "baseline": "zero", "score": score, "clip": False}
        parts.append(values({"it": curve}, seeds).drop(columns=["method", "error"]).assign(**cell))
    return pd.concat(parts)


def test_every_choice_and_normalisation_gives_the_contrast_worked_out_by_hand():
    tables = {"standard": choices([5, 1, 1, 2]), "adversarial": choices([5, 2, 1, 1])}
    found = contrasts(by_choice(tables, BAND_TABLE, 0.5, CLUSTERS, STATISTICS), "standard", STATISTICS)
    assert len(found) == 2 * 2 * 3 and set(found["run"]) == {"adversarial"}
    shares = found[(found["statistic"] == "hf_share") & (found["score"] == "logit")].set_index("normalisation")["mean"]
    expected = {
        "raw": 2 / 4 - 3 / 4,
        "per_coefficient": (1 / 4 + 1 / 8) / (1 + 1 / 4 + 1 / 8) - (1 / 4 + 2 / 8) / (1 / 2 + 1 / 4 + 2 / 8),
        "per_energy": (1 / 2 + 1) / (2 / 4 + 1 / 2 + 1) - (1 / 2 + 2) / (1 / 4 + 1 / 2 + 2),
    }
    assert shares.to_dict() == pytest.approx(expected)
    agreed = signs(found).set_index("statistic")
    assert agreed["n_choices"].to_dict() == {"hf_share": 6, "centroid": 6}
    assert agreed["same_sign"].to_dict() == {"hf_share": 1.0, "centroid": 1.0}
    assert agreed["sure"].isna().all()  # equal values have no interval
    assert agreed.loc["hf_share", "median"] == pytest.approx(np.median(list(expected.values())))


def test_runs_of_other_numbers_of_networks_are_contrasted_and_two_networks_have_no_interval():
    tables = {"standard": choices([5, 1, 1, 2], 4), "adversarial": choices([5, 2, 1, 1], 2)}
    found = contrasts(by_choice(tables, BAND_TABLE, 0.5, CLUSTERS, STATISTICS), "standard", STATISTICS)
    raw = found[(found["normalisation"] == "raw") & (found["statistic"] == "hf_share")]
    assert raw["mean"].tolist() == pytest.approx([-0.25, -0.25]) and (found["n_seeds"] == 2).all()
    assert found["low"].isna().all() and signs(found)["sure"].isna().all()


def test_a_choice_has_the_bands_of_its_own_basis_and_shape():
    tables = {"standard": choices([5, 1, 1, 2]), "adversarial": choices([5, 2, 1, 1])}
    others = [
        BAND_TABLE.assign(**{name: "other", "size": 1, "energy": 1.0, "position": 0.9}) for name in ("basis", "shape")
    ]
    expected, found = (
        contrasts(by_choice(tables, bands, 0.5, CLUSTERS, STATISTICS), "standard", STATISTICS)
        for bands in (BAND_TABLE, pd.concat([*others, BAND_TABLE]))
    )
    pd.testing.assert_frame_equal(found, expected)


def test_a_choice_under_which_too_much_is_negative_is_marked_and_its_estimates_are_kept():
    tables = {"a": choices([5, 1, 1, 2], 1), "b": choices([5, 2, 2, -1], 1)}
    found = by_choice(tables, BAND_TABLE, 0.5, CLUSTERS, STATISTICS)
    found = found.set_index(["run", "statistic", "normalisation"]).sort_index()
    assert not found.loc["a", "marked"].any()
    marked = found.loc["b", "marked"].groupby("normalisation").first()
    # negative: 1 of 5; 1/8 of (1 + 1/2 + 1/8); 1 of (1/2 + 1 + 1)
    assert marked.to_dict() == {"raw": True, "per_coefficient": False, "per_energy": True}
    assert found.loc[("b", "centroid", "raw"), CELLS].iloc[0].by_network == pytest.approx((2 * 0.2 + 2 * 0.6) / 4)
    assert len(found.loc[("b", "centroid", "raw"), CELLS].iloc[0].groups) == 4


@pytest.mark.parametrize("reference", ["a", "b"])  # the run that has no centre is the other one, or the reference
def test_choices_that_give_no_centre_are_counted_and_left_out_of_the_signs(reference):
    tables = {"a": choices([5, 1, 1, 2], 1), "b": choices([5, 2, 2, -1], 1)}
    table = contrasts(by_choice(tables, BAND_TABLE, 0.5, CLUSTERS, STATISTICS), reference, STATISTICS)
    assert len(table) == 2 * 2 * 3 and table["marked"].sum() == 2 * 2 * 2  # raw and per_energy, of both scores
    agreed = signs(table).set_index("statistic")
    assert (agreed["n_choices"] == 2).all() and (agreed["no_centre"] == 4).all()


def test_no_choices_have_no_signs():
    assert signs(pd.DataFrame()).empty
