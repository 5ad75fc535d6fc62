"""Accuracies counted by hand."""

import numpy as np
import pandas as pd
import pytest
from findings_cases import CLASSES, ENDING, RUNS, SETTINGS, predictions

from spectroscope.findings.accuracy import accuracies, at_chance, class_accuracies, table
from spectroscope.statistics.intervals import mean_interval


def test_accuracies_are_those_counted_by_hand(small):
    rows = table(small, RUNS, "attack", SETTINGS)
    assert list(rows) == ["run", "attack", "clean", *ENDING, "cells"]
    found = rows.set_index(["run", "attack"])["mean"].to_dict()
    expected = {
        ("standard", "clean"): 6 / 8,
        ("standard", "pgd"): 1 / 8,
        ("adversarial", "clean"): 4 / 8,
        ("adversarial", "pgd"): 3 / 8,
    }
    assert found == pytest.approx(expected)
    assert (rows["n_images"] == 4).all() and (rows["n_seeds"] == 2).all()
    assert rows["low"].isna().all() and rows["networks"].tolist() == ["0.75 0.75", "0 0.25", "0.5 0.5", "0.5 0.25"]


def test_the_clean_accuracy_is_that_of_the_attacked_images():
    right = {("standard", "clean"): [[1, 1, 0, 0]] * 3, ("standard", "pgd"): [[1, 0]] * 3}
    rows = table(predictions(right, [0] * 4), ["standard"], "attack", SETTINGS).set_index("attack")
    assert rows["clean"].to_dict() == {"clean": 0.5, "pgd": 1.0}
    assert rows["n_images"].to_dict() == {"clean": 4, "pgd": 2}


def test_sets_of_images_without_a_clean_one_have_no_column_for_it(small):
    assert "clean" not in table(small[small["name"] == "pgd"], RUNS, "band", SETTINGS)


def test_images_of_one_cluster_count_as_one():
    right = (np.random.default_rng(0).random((3, 60)) < 0.6).astype(int)
    rows = predictions({("standard", "clean"): right.tolist()}, [0] * 60).assign(cluster=lambda t: t["image"] // 3)
    row = table(rows, ["standard"], "attack", SETTINGS).iloc[0]
    expected = mean_interval(right, 0.9, clusters=np.arange(60) // 3)
    np.testing.assert_allclose([row["mean"], row["low"], row["high"]], expected)


def test_accuracies_do_not_depend_on_the_order_of_the_rows(small):
    shuffled = small.sample(frac=1, random_state=0)
    one, other = (
        table(each, RUNS, "attack", SETTINGS).drop(columns="cells").sort_values(["run", "attack"], ignore_index=True)
        for each in (small, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_a_run_that_was_not_asked_for_is_left_out(small):
    assert {finding.run for finding in accuracies(small, ["adversarial"])} == {"adversarial"}


def test_a_run_that_guesses_is_at_chance():
    rng = np.random.default_rng(1)
    right = {
        (run, "clean"): (rng.random((3, 200)) < share).tolist() for run, share in [("guesses", 0.1), ("sees", 0.6)]
    }
    right["sees", "pgd"] = [[0] * 200] * 3
    right["sees", "clean"][0] = [0] * 200  # one network sees nothing, their mean does
    assert at_chance(predictions(right, [0] * 200), ["guesses", "sees"], 10, SETTINGS) == ["guesses"]


def test_class_accuracies_are_those_counted_by_hand(small):
    rows = class_accuracies(small, RUNS, CLASSES, SETTINGS)
    assert list(rows) == ["run", "attack", "class", *ENDING]
    found = rows.set_index(["run", "attack", "class"])["mean"].to_dict()
    assert found == pytest.approx(
        {
            ("standard", "clean", "brick"): 1.0,
            ("standard", "clean", "moon"): 0.5,
            ("standard", "pgd", "brick"): 0.25,
            ("standard", "pgd", "moon"): 0.0,
            ("adversarial", "clean", "brick"): 0.5,
            ("adversarial", "clean", "moon"): 0.5,
            ("adversarial", "pgd", "brick"): 0.5,
            ("adversarial", "pgd", "moon"): 0.25,
        }
    )  # no image is grass
    assert (rows["n_images"] == 2).all()
