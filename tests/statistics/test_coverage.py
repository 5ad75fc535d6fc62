"""How often nominal 95 % intervals hold the truth: a quick form of `benchmarks.coverage`, with fixed seeds."""

import pytest

from benchmarks.coverage import STATISTICS, of_accuracy, of_statistic

DRAWS = 600  # a coverage of .95 has a standard error of .009
LOW, HIGH = 0.93 - 2 * 0.009, 0.97 + 2 * 0.009


@pytest.mark.parametrize(("networks", "ratio"), [(3, 0.0), (3, 1.0), (10, 0.05)])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_hold_the_truth_as_often_as_they_say(statistic, networks, ratio):
    assert LOW <= of_statistic(statistic, networks, ratio, DRAWS) <= HIGH


@pytest.mark.parametrize(
    ("accuracy", "images", "clustered", "networks", "ratio"),
    [
        (0.04, 45, False, 5, 1.0),  # often one right image
        (0.95, 300, False, 1, 0.0),
        (0.75, 1200, True, 3, 0.0),  # 207 clusters
        (0.5, 45, False, 5, 1.0),
    ],
)
def test_intervals_of_accuracies_hold_the_truth_as_often_as_they_say(accuracy, images, clustered, networks, ratio):
    assert LOW <= of_accuracy(accuracy, images, clustered, networks, ratio, DRAWS) <= HIGH
