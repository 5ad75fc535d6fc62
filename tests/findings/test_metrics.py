"""The headline numbers are few, flat enough to read, and have no NaN."""

import json

import pandas as pd
import pytest

from spectroscope.findings.metrics import headline

ACCURACY = pd.DataFrame(
    [("a", "clean", 0.75), ("a", "pgd", 0.25), ("b", "clean", 0.5), ("b", "pgd", 0.375)],
    columns=["run", "attack", "mean"],
)
RELIANCE = pd.DataFrame(
    [
        ("a", "margin", "centroid", 15.5, False),
        ("a", "logit", "centroid", 3.0, False),
        ("a", "margin", "hf_share", 0.5, False),
        ("b", "margin", "centroid", 7.0, True),
    ],
    columns=["run", "score", "statistic", "mean", "marked"],
)


def test_each_run_has_three_numbers_and_none_where_there_is_none():
    found = headline(ACCURACY, RELIANCE, "pgd")
    assert found == {
        "a": {"clean": 0.75, "attacked": 0.25, "centroid": 15.5},
        "b": {"clean": 0.5, "attacked": 0.375, "centroid": None},
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_an_attack_without_an_accuracy_is_refused_by_name():
    with pytest.raises(ValueError, match=r"findings\.attack: expected .* among clean, pgd, got 'cw'"):
        headline(ACCURACY, RELIANCE, "cw")
