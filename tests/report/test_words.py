"""Numbers, intervals and sizes are worded alike everywhere, in the singular where they are one."""

import pandas as pd
import pytest

from spectroscope.report import words

SPACE = "\u00a0"


def test_two_networks_have_no_interval_and_both_their_values():
    missing = float("nan")
    assert words.number(0.45, missing, missing, True, "0.41 0.49") == "41.0 % and 49.0 %"
    assert words.number(0.45, missing, missing, True, "0.45 nan") == "45.0 %"


@pytest.mark.parametrize(
    ("values", "share", "text"),
    [
        ((0.7321, 0.71, 0.7512), True, "73.2 % [71.0, 75.1]"),
        ((16.94, 16.1, 17.8), False, "16.9 [16.1, 17.8]"),
        ((0.5, float("nan"), float("nan")), True, "50.0 %"),
        ((float("nan"), 0.1, 0.2), True, "-"),
        ((None, None, None), True, "-"),
    ],
)
def test_numbers_are_written_with_their_interval(values, share, text):
    assert words.number(*values, share) == text


@pytest.mark.parametrize(
    ("number", "noun", "most", "text"),
    [
        (1, "seed", None, "1 seed"),
        (1, "seed", 1, "1 seed"),
        (1, "seed", 3, "1 to 3 seeds"),
        (0, "class", 0, "0 classes"),
        (2, "query", None, "2 queries"),
        (90, "image", 1200, "90 to 1,200 images"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(number, noun, most, text):
    assert words.count(number, noun, most) == text


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (
            {"n_images": [90, 1200], "n_seeds": [3, 3]},
            "90 to 1,200 faces, 3 networks a run; intervals over networks and images.",
        ),
        (
            {"n_images": [1, 1], "n_seeds": [1, 1]},
            "1 face, 1 network a run; intervals over images, for this one network of each run.",
        ),
        (
            {"n_images": [7, 7], "n_seeds": [2, 2]},
            "7 faces, 2 networks a run: too few for intervals, the values of both are in the tables.",
        ),
        (
            {"n_images": [7, 7], "n_seeds": [0, 1]},  # a statistic that a network does not have
            "7 faces, 1 network a run; intervals over images, for this one network of each run.",
        ),
        ({"n_images": [7, 7]}, "7 faces; intervals over images."),
    ],
)
def test_a_caption_says_what_its_numbers_rest_on(columns, text):
    assert words.sample_note(pd.DataFrame(columns), "face") == f"n{SPACE}={SPACE}{text}"


def test_the_peak_of_a_run_is_where_its_mean_is_highest_or_lowest():
    table = pd.DataFrame({"run": ["b", "b", "a", "c"], "shell": [0, 1, 5, 2], "mean": [1.0, 2.0, 0.5, float("nan")]})
    table.index = [0, 0, 0, 0]  # as concatenated tables have it
    assert words.peaks(table, "shell") == "b 1, a 5, c no data"
    between = table.assign(shell=table["shell"] + 0.5)
    assert words.peaks(between, "shell") == "b 1.5, a 5.5, c no data"
    assert words.peaks(table, "shell", lowest=True) == "b 0, a 5, c no data"


def test_a_setting_is_told_in_words():
    value = {"method": "pgd", "random_start": True, "eps": None, "kinds": ["sign", "pink"], "low": {"keep": "all"}}
    assert words.setting(value) == "pgd, random_start yes, eps none, kinds sign, pink, low keep all"
