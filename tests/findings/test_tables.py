"""Differences whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from findings_cases import ENDING, RUNS, SETTINGS, predictions

from spectroscope.findings.accuracy import accuracies
from spectroscope.findings.tables import Finding, contrasts, summaries
from spectroscope.statistics.estimates import grid, means, per_image


def test_the_difference_from_an_identical_copy_is_zero():
    values = np.random.default_rng(0).random((3, 20, 1)) + np.arange(3)[:, None, None]
    findings = [Finding(run, "share", means(values, np.arange(20))) for run in ("standard", "copy")]
    rows = contrasts(findings, "standard", SETTINGS)
    assert list(rows) == ["run", "reference", "statistic", *ENDING]
    assert rows[["run", "reference"]].to_numpy().tolist() == [["copy", "standard"]]
    assert rows["mean"][0] == 0 and rows["low"][0] < 0 < rows["high"][0]  # its networks are other ones


def test_differences_are_paired_by_image():
    hard = (np.arange(200) % 2).tolist()  # every network gets the same half of the images right
    table = predictions({("standard", "clean"): [hard], ("copy", "clean"): [hard]}, [0] * 200)
    findings = accuracies(table, ["standard", "copy"])
    alone, difference = summaries(findings, SETTINGS), contrasts(findings, "standard", SETTINGS)
    assert (alone["high"] - alone["low"] > 0.05).all()
    assert difference["mean"][0] == 0  # the ends are exact: no image of 200 told the two runs apart
    end = 1 - ((1 - SETTINGS.confidence) / 2) ** (1 / 200)
    np.testing.assert_allclose(difference[["low", "high"]], [[-end, end]])


def test_a_difference_is_the_run_minus_the_reference(small):
    rows = contrasts(accuracies(small, RUNS), "standard", SETTINGS)
    assert rows["statistic"].tolist() == ["clean", "pgd"]
    np.testing.assert_allclose(rows["mean"], [-0.25, 0.25])
    turned = contrasts(accuracies(small, RUNS), "adversarial", SETTINGS)
    np.testing.assert_allclose(turned["mean"], [0.25, -0.25])


def test_a_measure_the_reference_lacks_has_no_difference(small):
    kept = small[(small["run"] != "standard") | (small["name"] == "clean")]
    rows = contrasts(accuracies(kept, RUNS), "standard", SETTINGS)
    assert rows["statistic"].tolist() == ["clean"]


def test_one_run_alone_gives_an_empty_table_with_its_columns(small):
    rows = contrasts(accuracies(small, ["standard"]), "standard", SETTINGS)
    assert rows.empty
    assert list(rows) == ["run", "reference", "statistic", *ENDING]


def test_an_unknown_reference_names_the_runs_there_are(small):
    with pytest.raises(
        ValueError, match=r"findings\.reference: expected a run among standard, adversarial, got 'robust'"
    ):
        contrasts(accuracies(small, RUNS), "robust", SETTINGS)


def test_the_grid_has_seeds_and_images_in_order():
    table = pd.DataFrame({"seed": [2, 10, 2, 10], "image": [11, 3, 3, 11], "a": [1, 2, 3, 4], "b": [5, 6, 7, 8]})
    expected = [[[3, 7], [1, 5]], [[2, 6], [4, 8]]]
    np.testing.assert_array_equal(grid(table, ["a", "b"]), expected)


def test_labels_are_in_the_order_of_the_grid():
    table = pd.DataFrame({"seed": [0, 0, 1, 1], "image": [11, 3, 3, 11], "label": [7, 9, 9, 7]})
    assert per_image(table, "label").tolist() == [9, 7]


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        ([(0, 0), (0, 1), (1, 0)], "2 seeds to have the same 2 images, got 3 rows"),
        ([(0, 0), (0, 1), (1, 0), (1, 0)], "2 seeds to have the same 2 images, got 4 rows"),
        ([(0, 0), (0, 1), (1, 0), (1, 2)], "2 seeds to have the same 3 images, got 4 rows"),
    ],
    ids=["missing", "twice", "other"],
)
def test_the_grid_refuses_missing_and_repeated_rows(rows, got):
    table = pd.DataFrame(rows, columns=["seed", "image"]).assign(right=True)
    with pytest.raises(ValueError, match=f"expected every one of {got}"):
        grid(table, ["right"])
