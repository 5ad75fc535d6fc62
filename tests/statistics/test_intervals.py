"""Intervals: arithmetic anyone can check, what is refused, and how often they cover the truth."""

import numpy as np
import pytest
from scipy import stats

from spectroscope.statistics.intervals import difference_interval, mean_interval

RNG = np.random.default_rng(0)


def crossed(rng, seeds, images, seed_variance, image_variance=1.0, noise=0.5):
    """Values of a two-way layout around 0: (seeds, images)."""
    of_seed = rng.normal(scale=seed_variance**0.5, size=(seeds, 1))
    of_image = rng.normal(scale=image_variance**0.5, size=(1, images))
    return of_seed + of_image + rng.normal(scale=noise, size=(seeds, images))


def test_one_network_has_the_t_interval_over_its_images():
    values = RNG.normal(size=30)
    expected = stats.t.interval(0.9, 29, values.mean(), stats.sem(values))
    np.testing.assert_allclose(mean_interval(values, 0.9), (values.mean(), *expected))


def test_networks_that_differ_only_as_a_whole_have_the_t_interval_over_networks():
    networks = np.array([0.1, 0.4, 0.9])
    mean, low, high = mean_interval(np.repeat(networks[:, None], 20, axis=1))
    np.testing.assert_allclose((low, high), stats.t.interval(0.95, 2, mean, stats.sem(networks)))


def test_two_networks_have_no_interval():
    mean, low, high = mean_interval([[0.0, 1.0], [1.0, 1.0]])
    assert mean == 0.75 and np.isnan([low, high]).all()
    assert np.isnan(difference_interval(np.zeros((2, 3)), np.ones((3, 3)))[1:]).all()


def test_a_share_of_none_or_all_has_an_exact_end():
    np.testing.assert_allclose(mean_interval(np.zeros((3, 45))), (0, 0, 1 - 0.025 ** (1 / 45)))
    np.testing.assert_allclose(mean_interval(np.ones(10)), (1, 0.025 ** (1 / 10), 1))


def test_a_share_stays_within_0_and_1_and_other_means_do_not():
    assert mean_interval([0, 0, 0, 1])[1] == 0
    assert mean_interval([0.0, 0.0, 0.0, 0.9])[1] < 0


def test_copies_in_clusters_say_no_more_than_one_of_each():
    values = RNG.normal(size=(4, 25))
    clusters = np.repeat(np.arange(25), 6)
    np.testing.assert_allclose(mean_interval(np.repeat(values, 6, axis=1), clusters=clusters), mean_interval(values))


def test_values_left_out_do_not_move_the_mean():
    values = RNG.normal(size=(3, 40))
    values[RNG.random(values.shape) < 0.3] = np.nan
    mean, low, high = mean_interval(values)
    assert mean == pytest.approx(np.nanmean(values, axis=1).mean()) and low < mean < high


def test_a_difference_is_paired_by_image_and_turns_its_sign():
    images = RNG.normal(scale=5, size=50)
    a, b = (images + shift + RNG.normal(scale=0.1, size=(3, 50)) for shift in (0.3, 0.0))
    mean, low, high = difference_interval(a, b)
    assert low > 0 and high - low < 0.5  # the spread of the images themselves is gone
    np.testing.assert_allclose(difference_interval(b, a), (-mean, -high, -low))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]], 1.0), "expected a confidence between 0 and 1, got 1"),
        (([[[1.0]]],), r"expected values \(seeds, images\)"),
        (([[np.nan, np.nan]],), "some of each seed finite"),
        (([[1.0, 2.0]], 0.95, [0]), "expected one cluster for each of 2 images"),
        (([[1.0]],), "expected at least two images"),
    ],
)
def test_what_has_no_interval_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(*arguments)


def test_a_difference_of_other_images_is_refused():
    with pytest.raises(ValueError, match="expected the same images for both, got 2 and 3"):
        difference_interval([[1.0, 2.0]], [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("seed_variance", [0, 0.05, 1])
def test_intervals_cover_as_often_as_they_say(seeds, seed_variance):
    """At 1,000 draws the standard error of a coverage of .95 is .007; the full table is benchmarks.coverage."""
    rng, draws = np.random.default_rng([seeds, int(100 * seed_variance)]), 1000
    inside, apart = 0, 0
    for _ in range(draws):
        a, b = (crossed(rng, seeds, 60, seed_variance) for _ in range(2))
        _, low, high = mean_interval(a)
        inside += low <= 0 <= high
        _, low, high = difference_interval(a, b)
        apart += low <= 0 <= high
    for covered in (inside, apart):
        assert 0.93 - 0.014 <= covered / draws <= 0.97 + 0.014
