"""Accuracies counted by hand."""

import numpy as np
import pandas as pd
import pytest
from findings_cases import CLASSES, ENDING, RUNS, SETTINGS, predictions

from spectroscope.findings.accuracy import accuracies, class_accuracies
from spectroscope.findings.tables import summaries
from spectroscope.statistics import bootstrap


def test_accuracies_are_those_counted_by_hand(small):
    rows = summaries(accuracies(small, RUNS, SETTINGS), SETTINGS)
    assert list(rows) == ["run", "statistic", *ENDING, "n_missing"]
    found = {
        (run, statistic): mean
        for run, statistic, mean in zip(rows["run"], rows["statistic"], rows["mean"], strict=True)
    }
    expected = {
        ("standard", "clean"): 6 / 8,
        ("standard", "pgd"): 1 / 8,
        ("adversarial", "clean"): 4 / 8,
        ("adversarial", "pgd"): 3 / 8,
    }
    assert found == pytest.approx(expected)
    assert ((rows["low"] <= rows["mean"]) & (rows["mean"] <= rows["high"])).all()
    assert (rows["n_images"] == 4).all()
    assert (rows["n_seeds"] == 2).all()


def test_accuracies_do_not_depend_on_the_order_of_the_rows(small):
    shuffled = small.sample(frac=1, random_state=0)
    one, other = (
        summaries(accuracies(each, RUNS, SETTINGS), SETTINGS).sort_values(["run", "statistic"], ignore_index=True)
        for each in (small, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_every_run_draws_its_own_seeds():
    right = [[int(image < 3 * seed) for image in range(6)] for seed in range(3)]  # accuracy 0, 1/2, 1
    rows = predictions({(run, "clean"): right for run in RUNS}, [0] * 6)
    values, groups = np.array(right, float)[:, :, None], bootstrap.everything(6)
    by_class = class_accuracies(rows, RUNS, CLASSES, SETTINGS)
    drawn = []
    for stream, finding in enumerate(accuracies(rows, RUNS, SETTINGS)):
        drawn.append(bootstrap.draws(values, groups, SETTINGS, stream)[:, 0, 0])
        np.testing.assert_array_equal(finding.drawn, drawn[stream])
        ends = by_class.loc[by_class["run"] == finding.run, ["low", "high"]].to_numpy()[0]
        np.testing.assert_allclose(ends, bootstrap.interval(drawn[stream], SETTINGS))
    assert (drawn[0] != drawn[1]).any()


def test_a_run_that_was_not_asked_for_is_left_out(small):
    assert {finding.run for finding in accuracies(small, ["adversarial"], SETTINGS)} == {"adversarial"}


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
