"""A run keeps its colour, and there are as many colours as a study may have runs."""

import pytest

from spectroscope import study
from spectroscope.report import style

NAMES = [f"run{k}" for k in range(12)]


def test_a_run_keeps_its_colour_when_another_follows():
    assert style.assign_colours(NAMES) | style.assign_colours(NAMES[:2]) == style.assign_colours(NAMES)
    assert len(set(style.assign_colours(NAMES).values())) == 12


def test_more_runs_than_colours_are_refused():
    with pytest.raises(ValueError, match="expected at most 12 runs, one colour each, got 13"):
        style.assign_colours([*NAMES, "another"])


def test_a_study_may_have_as_many_runs_as_there_are_colours():
    assert len(style.PALETTE) == study.MOST_RUNS
