"""Runs keep their colours, and a table that cannot be drawn is named."""

import pandas as pd
import pytest
from test_figures import runs

from spectroscope import style


def test_a_run_keeps_its_colour_when_another_follows():
    assert style.colours(runs(8)) | style.colours(runs(2)) == style.colours(runs(8))


def test_nine_runs_are_refused():
    with pytest.raises(ValueError, match="expected at most 8 runs, one colour each, got 9"):
        style.colours([*runs(8), "ninth"])


def test_a_caption_gives_the_range_where_n_differs():
    table = pd.DataFrame({"n_images": [90, 1200], "n_seeds": [3, 3]})
    expected = "n\u00a0=\u00a090 to 1,200 faces, 3 seeds; bootstrap intervals over seeds and images."
    assert style.made(table, "faces") == expected


def test_missing_numbers_reach_a_chart_as_empty_fields():
    table = pd.DataFrame({"run": ["a"], "mean": [1 / 3], "low": [float("nan")], "high": [2.0]})
    assert style.data(table, "run").values == "run,mean,low,high\na,0.333333,,2\n"
