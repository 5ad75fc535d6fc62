"""Differences of revisions: paired by seed where seeds and images are the same, else without an interval."""

import math

import pytest
from comparisons import settings, write

from spectroscope.compare import numbers
from spectroscope.compare.numbers import CENTROID, Key
from spectroscope.compare.revisions import read_all

PGD, MIDDLE = Key("accuracy", "plain", "pgd"), Key("reliance", "plain", CENTROID)


def difference(folder, key=PGD, first=None, other=None):
    """`other` minus `first`, both arguments of `write`."""
    write(folder / "first", **(first or {}))
    write(folder / "other", **(other or {}))
    revisions = read_all(["first", "other"], folder)
    return numbers.difference(key, numbers.numbers(revisions)[key], *revisions)


def test_the_same_seeds_and_images_are_paired_by_seed(tmp_path):
    """Differences .1, .05 and .15: standard deviation .05, and the t quantile of 2 degrees of freedom is 4.30265."""
    found = difference(tmp_path, other={"pgd": (0.6, 0.65, 0.85)})
    half = 4.302653 * 0.05 / math.sqrt(3)
    assert found[:3] == pytest.approx((0.1, 0.1 - half, 0.1 + half), abs=1e-6)
    assert found.why == ""


def test_the_level_is_that_of_the_settings(tmp_path):
    """At .5 the quantile is .81650."""
    level = settings(**{"statistics.confidence": 0.5})
    found = difference(tmp_path, first={"content": level}, other={"content": level, "pgd": (0.6, 0.65, 0.85)})
    assert found.high - found.mean == pytest.approx(0.816497 * 0.05 / math.sqrt(3), abs=1e-6)


def test_a_difference_of_shares_stays_between_its_bounds_and_one_of_shells_does_not(tmp_path):
    found = difference(tmp_path, first={"pgd": (0.9, 0.9, 0.9)}, other={"pgd": (0.0, 0.1, 0.9)})
    assert found.low == -1
    found = difference(tmp_path, MIDDLE, other={"centroid": {"mean": 9.0, "networks": "5 9 13"}})
    assert (found.mean, found.low) == pytest.approx((3.0, 3 - 4.302653 * 3 / math.sqrt(3)), abs=1e-5)


CASES = {
    "other images": [
        {"content": settings(**{"dataset.seed": 1})},
        {"accuracy": {"n_images": 200}},
    ],
    "other seeds": [
        {"content": settings(**{"training.seeds": [0, 1, 3]})},
        {"content": settings(**{"runs.plain.regime": {"name": "pretrained", "weights": ["a", "b", "c"]}})},
    ],
    "other confidence": [{"content": settings(**{"statistics.confidence": 0.9})}],
}


@pytest.mark.parametrize(("why", "other"), [(why, other) for why, cases in CASES.items() for other in cases])
def test_without_the_same_seeds_and_images_there_is_no_interval(tmp_path, why, other):
    found = difference(tmp_path, other={"pgd": (0.6, 0.65, 0.85), **other})
    assert found.mean == pytest.approx(0.1) and math.isnan(found.low) and math.isnan(found.high)
    assert found.why == why


def test_two_networks_have_no_interval(tmp_path):
    two = settings(**{"training.seeds": [0, 1]})
    found = difference(tmp_path, first={"content": two, "pgd": (0.5, 0.6)}, other={"content": two, "pgd": (0.7, 0.6)})
    assert found.mean == pytest.approx(0.1) and math.isnan(found.low) and found.why == "fewer than 3 networks"


def test_reliance_on_the_correct_images_of_each_network_is_not_paired(tmp_path):
    correct = {"content": settings(**{"attribution.images": "correct"})}
    moved = {"centroid": {"mean": 7.0, "networks": "6 8 7"}}
    assert difference(tmp_path, MIDDLE, other=moved).why == ""
    assert difference(tmp_path, MIDDLE, first=correct, other=correct | moved).why == "other images"


@pytest.mark.parametrize(
    ("centroid", "why", "mean"),
    [
        ({"mean": 7.0, "marked": True}, "no centre of reliance", math.nan),
        ({"mean": 7.0, "n_missing": 2}, "classes left out", 1.0),
        ({"mean": math.nan, "networks": "nan nan nan"}, "not in both", math.nan),
        ({"mean": 7.0, "networks": "6 nan 8"}, "a network without a value", 1.0),
        ({"mean": 7.0, "networks": "6 7 8"}, "alike in every network", 1.0),
        ({}, "the same", 0.0),
    ],
)
def test_a_statistic_that_cannot_be_paired_says_why(tmp_path, centroid, why, mean):
    found = difference(tmp_path, MIDDLE, other={"centroid": centroid})
    assert found.why == why and math.isnan(found.low)
    assert found.mean == pytest.approx(mean, nan_ok=True)


def test_results_older_than_their_settings_are_not_paired(tmp_path):
    write(tmp_path / "other", pgd=(0.6, 0.65, 0.85))
    lock = "stages: {study: {params: {params.yaml: {training: {seeds: [5, 6, 7]}}}}}\n"
    (tmp_path / "other" / "dvc.lock").write_text(lock)
    assert difference(tmp_path, other={"pgd": (0.6, 0.65, 0.85)}).why == "settings changed since"


def test_a_run_that_the_settings_no_longer_have_is_not_paired(tmp_path):
    renamed = settings(**{"runs": {"new": settings()["runs"]["plain"]}})
    found = difference(tmp_path, other={"content": renamed, "pgd": (0.6, 0.65, 0.85)})
    assert found.mean == pytest.approx(0.1) and found.why == "settings changed since"


def test_other_test_images_in_the_lock_are_other_images_under_equal_settings(tmp_path):
    for name, digest in (("first", "a1"), ("other", "b2")):
        outs = [{"path": "data/images/test.parquet", "md5": digest}]
        (write(tmp_path / name) / "dvc.lock").write_text(f"stages: {{dataset: {{outs: {outs}}}}}\n")
    assert difference(tmp_path, other={"pgd": (0.6, 0.65, 0.85)}).why == "other images"


def test_the_headline_numbers_are_those_of_the_metrics(tmp_path):
    write(tmp_path / "first")
    write(tmp_path / "other", settings(**{"findings.attack": "noise sign"}), pgd=(0.1, 0.2, 0.3))
    first, other = read_all(["first", "other"], tmp_path)
    found = numbers.numbers([first, other])
    assert [key.statistic for key in numbers.headline(found, [first])] == ["clean", "pgd", CENTROID]
    assert [key.statistic for key in numbers.headline(found, [first, other])] == [
        "clean",
        "pgd",
        "noise sign",
        CENTROID,
    ]
    assert list(numbers.differing(found, [first, other])) == [PGD]
