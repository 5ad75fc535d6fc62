"""The summary of claims over studies, from tables whose pairs are known."""

import pandas as pd

from scripts import answers

ROW = {"claim": "moves", "says": "It moves", "expect": "below", "margin": 1.0, "unit": "shells", "reason": ""}


def line(monkeypatch, *rows):
    """Cells of the summary's only line: one study for each of `rows`."""
    tables = {f"study {number}": pd.DataFrame([ROW | row]) for number, row in enumerate(rows)}
    monkeypatch.setattr(answers, "tables", lambda root: tables)
    return [cell.strip() for cell in answers.over_studies(None).splitlines()[2].strip("|").split("|")]


def test_pairs_beyond_the_margin_support_the_claim(monkeypatch):
    six = {"networks": "-2 -3 -4 -2 -3 -4", "verdict": "supported"}
    cells = line(monkeypatch, six, six)
    assert cells[1:3] == ["12", "-3 [-3.54, -2.46]"]
    # two of the 2^12 ways to flip the signs leave the sum as far from 0
    assert cells[4:6] == [f"{2 / 2**12:.2g}", "**supported**"]


def test_pairs_on_the_other_side_of_the_margin_refute_it(monkeypatch):
    six = {"networks": "-.2 .1 -.1 .2 -.3 .3", "verdict": "refuted"}
    assert line(monkeypatch, six, six)[5] == "**refuted**"


def test_pairs_around_the_margin_decide_nothing(monkeypatch):
    six = {"networks": "-2 0 -3 1 -1 -.5", "verdict": "undetermined"}
    assert line(monkeypatch, six, six)[5] == "**undetermined**"


def test_studies_in_which_the_claim_is_void_or_has_no_centre_are_left_out(monkeypatch):
    five = {"networks": "-2 -3 -4 -2 -3", "verdict": "supported"}
    void = {"networks": "9 9 9 9 9", "verdict": "void"}
    no_centre = {
        "networks": "9 9 9 9 9",
        "verdict": "undetermined",
        "reason": "no centre of reliance",
    }
    cells = line(monkeypatch, five, void, no_centre)
    assert cells[1] == "5"
    assert cells[4:6] == ["-", f"fewer than {answers.FEWEST_PAIRS} pairs"]
