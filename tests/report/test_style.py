"""Runs keep their colours, and a table that cannot be drawn is named."""

import pandas as pd
import pytest

from spectroscope import study
from spectroscope.report import style

RUNS = [f"run{k}" for k in range(12)]


def test_a_run_keeps_its_colour_when_another_follows():
    assert style.colours(RUNS) | style.colours(RUNS[:2]) == style.colours(RUNS)
    assert len(set(style.colours(RUNS).values())) == 12


def test_more_runs_than_colours_are_refused():
    with pytest.raises(ValueError, match="expected at most 12 runs, one colour each, got 13"):
        style.colours([*RUNS, "another"])


def test_a_study_may_have_as_many_runs_as_there_are_colours():
    assert len(style.PALETTE) == study.MOST_RUNS


def test_a_caption_gives_the_range_where_n_differs():
    table = pd.DataFrame({"n_images": [90, 1200], "n_seeds": [3, 3]})
    expected = "n\u00a0=\u00a090 to 1,200 faces, 3 seeds; bootstrap intervals over seeds and images."
    assert style.made(table, "faces") == expected


def test_missing_numbers_reach_a_chart_as_empty_fields():
    table = pd.DataFrame({"run": ["a"], "mean": [1 / 3], "low": [float("nan")], "high": [2.0]})
    assert style.data(table, "run").values == "run,mean,low,high\na,0.333333,,2\n"
