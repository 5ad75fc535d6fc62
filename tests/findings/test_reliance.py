"""Class curves and their summaries, worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from findings_cases import CLASSES, ENDING, SETTINGS, attribution

from spectroscope.findings.reliance import class_curves, reliance, reliance_findings, shell_curve
from spectroscope.findings.tables import by_run, summaries


def test_reliance_is_the_mean_of_each_class():
    curves = {0: [5.0, 1.0, 0.0, 3.0], 2: [3.0, 2.0, 2.0, -1.0]}
    found = reliance("standard", 0, attribution(curves, spread=0.0), 3, "all", SETTINGS)
    np.testing.assert_allclose(found.curves, [curves[0], [np.nan] * 4, curves[2]])
    assert found.drawn.shape == (200, 3, 4)

    shells = shell_curve(found, SETTINGS)
    assert list(shells) == ["run", "shell", *ENDING]
    np.testing.assert_allclose(shells["mean"], [4.0, 1.5, 1.0, 1.0])
    assert (shells["n_images"] == 6).all()
    assert (shells["n_seeds"] == 2).all()

    by_class = class_curves(found, CLASSES, SETTINGS)
    assert list(by_class) == ["run", "class", "shell", *ENDING]
    assert by_class["class"].tolist() == 4 * ["brick"] + 4 * ["moon"]
    np.testing.assert_allclose(by_class["mean"], curves[0] + curves[2])
    np.testing.assert_allclose(by_class["low"], by_class["mean"])
    assert (by_class["n_images"] == 3).all()


def test_findings_are_those_worked_out_by_hand():
    curves = {0: [5.0, 1.0, 0.0, 3.0], 2: [3.0, 2.0, 2.0, -1.0]}  # mean 4, 1.5, 1, 1; shells 0..3
    findings = reliance_findings(reliance("standard", 0, attribution(curves), 3, "all", SETTINGS), 0.5)
    found = {finding.statistic: finding.point for finding in findings}
    expected = {
        "centroid": (1 * 1.5 + 2 * 1 + 3 * 1) / 3.5,
        "hf_share": (3 / 4 + 2 / 4) / 2,
        "dc": 4.0,
        "low_sum": 0.0,
        "mid_sum": 1.5,
        "high_sum": 2.0,
    }
    assert found == pytest.approx(expected)
    missing = {finding.statistic: finding.n_missing for finding in findings}
    assert missing.pop("hf_share") == 1  # grass
    assert set(missing.values()) == {0}


def test_images_a_network_gets_wrong_do_not_count_among_the_correct():
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]})
    wrong = (table["image"] == 0) | ((table["image"] == 1) & (table["seed"] == 1))
    table.loc[wrong, ["shell_0", "shell_1"]] = 1000.0
    table.loc[wrong, "right"] = False
    before = table.copy()
    found = reliance("standard", 0, table, 2, "correct", SETTINGS)
    np.testing.assert_allclose(found.curves, [[4.0, 1.0], [2.0, 5.0]])
    pd.testing.assert_frame_equal(table, before)
    assert reliance("standard", 0, table, 2, "all", SETTINGS).curves[0, 0] > 100
    assert (shell_curve(found, SETTINGS)["n_images"] == 5).all()  # image 1 counts for one seed, image 0 for none
    assert class_curves(found, ["a", "b"], SETTINGS)["n_images"].tolist() == [2, 2, 3, 3]


def test_a_network_that_gets_nothing_right_is_missing_not_an_error():
    table = attribution({0: [4.0, 1.0], 1: [2.0, 5.0]}).assign(right=False)
    found = reliance("standard", 0, table, 2, "correct", SETTINGS)
    assert shell_curve(found, SETTINGS)[["mean", "low", "high"]].isna().all(axis=None)
    assert class_curves(found, ["a", "b"], SETTINGS).empty
    figures = by_run(summaries(reliance_findings(found, 0.5), SETTINGS))["standard"]
    expected = {"mean": None, "low": None, "high": None, "n_images": 0, "n_seeds": 2, "n_missing": 2}
    assert figures["hf_share"] == expected


def test_reliance_with_nothing_positive_is_missing_and_counted():
    table = attribution({0: [4.0, -1.0, -2.0], 1: [2.0, -1.0, 0.0]})
    findings = reliance_findings(reliance("standard", 0, table, 2, "all", SETTINGS), 0.5)
    figures = by_run(summaries(findings, SETTINGS))["standard"]
    assert figures["hf_share"]["mean"] is None
    assert figures["hf_share"]["n_missing"] == 2
    assert figures["centroid"]["mean"] is None
    assert figures["dc"]["mean"] == pytest.approx(3.0, abs=0.01)
    assert "NaN" not in json.dumps(figures, allow_nan=False)
