"""Intervals: arithmetic anyone can check, what is refused, and how often they cover the truth."""

import numpy as np
import pytest
from scipy import special, stats

from spectroscope.statistics.intervals import bounded_ends, difference_interval, mean_interval

RNG = np.random.default_rng(0)


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


def test_the_exact_end_has_as_many_trials_as_clusters():
    np.testing.assert_allclose(mean_interval(np.zeros((3, 45)), clusters=np.arange(45) // 5)[2], 1 - 0.025 ** (1 / 9))


def test_a_share_stays_within_0_and_1_and_other_means_do_not():
    assert mean_interval([0, 0, 0, 1])[1] > 0
    assert mean_interval([0.0, 0.0, 0.0, 0.9])[1] < 0


def test_a_share_is_symmetric_on_the_logit_scale():
    values = np.repeat([[0.0] * 10 + [1.0] * 30, [0.0] * 16 + [1.0] * 24, [0.0] * 8 + [1.0] * 32], 1, axis=0)
    mean, low, high = mean_interval(values)
    below, at, above = special.logit([low, mean, high])
    assert above - at == pytest.approx(at - below)
    step = (mean - mean_interval(values + 1)[1]) + 1  # half the width of the same values where they are no shares
    assert above - at == pytest.approx(step / (mean * (1 - mean)))


def test_one_right_image_says_no_more_than_none():
    one = np.zeros((10, 45))
    one[0, 0] = 1
    assert mean_interval(one).high == pytest.approx(mean_interval(np.zeros((10, 45))).high)
    assert mean_interval(1 - one).low == pytest.approx(mean_interval(np.ones((10, 45))).low)


def test_runs_that_fail_on_the_same_images_have_an_interval():
    end = 1 - 0.025 ** (1 / 45)
    np.testing.assert_allclose(difference_interval(np.zeros((3, 45)), np.zeros((3, 45))), (0, -end, end))
    np.testing.assert_allclose(difference_interval(np.ones((3, 45)), np.zeros((3, 45))), (1, 1 - 2 * end, 1))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 9])
def test_a_few_images_set_two_shares_apart_where_the_exact_test_does(n):
    low = difference_interval(np.ones((1, n)), np.zeros((1, n))).low
    assert (low > 0) == (2 * 0.5**n < 0.05)  # McNemar's test of n images that all differ in one direction
    assert difference_interval(np.ones((1, n)), [[1.0] + [0.0] * (n - 1)]).low < 0 or n > 6


@pytest.mark.parametrize("networks", [1, 3, 5])
def test_an_interval_contains_its_point(networks):
    rng = np.random.default_rng(networks)
    for share in (0.0, 0.01, 0.3, 0.99, 1.0):
        values = (rng.random((networks, 30)) < share).astype(float)
        for mean, low, high in (
            mean_interval(values),
            mean_interval(values + rng.normal(size=values.shape)),
            mean_interval(values, clusters=np.arange(30) // 4),
            difference_interval(values, values[::-1]),
        ):
            assert low <= mean <= high
    places = rng.random(1000)
    low, high = bounded_ends(places, places - 1e-12, places + 1e-12, 0.0, 1.0)
    assert (low <= places).all() and (places <= high).all()


def test_a_statistic_between_bounds_stays_between_them():
    mean, half = np.array([1.0, 4.0, 30.0, 31.0]), np.array([0.5, 20.0, 3.0, 0.5])
    low, high = bounded_ends(mean, mean - half, mean + half, 1.0, 31.0)
    assert (low >= 1).all() and (high <= 31).all() and low[0] == 1 and high[0] == 1.5
    step = 20 / 30 / (0.1 * 0.9)  # the half width at a tenth of the way from the first bound to the last
    np.testing.assert_allclose(
        (np.array([low[1], high[1]]) - 1) / 30, special.expit(special.logit(0.1) + np.array([-step, step]))
    )


def test_a_statistic_with_one_possible_value_has_no_width():
    one = np.ones(1)
    np.testing.assert_array_equal(bounded_ends(one, one - 0.2, one + 0.2, 1.0, 1.0), [[1.0], [1.0]])


def test_two_identical_networks_say_what_one_says():
    values = RNG.normal(size=(1, 40))
    assert mean_interval(np.repeat(values, 2, axis=0)).mean == pytest.approx(mean_interval(values).mean, rel=1e-12)
    np.testing.assert_allclose(mean_interval(np.repeat(values, 3, axis=0)), mean_interval(values))


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
    ],
)
def test_what_has_no_interval_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(*arguments)


def test_images_that_do_not_count_are_no_trials():
    values = np.full((3, 300), np.nan)
    values[:, :4] = 1
    assert mean_interval(values) == mean_interval(np.ones((3, 4)))
    other = np.where(np.isnan(values), np.nan, 0.0)
    assert difference_interval(values, other) == difference_interval(np.ones((3, 4)), np.zeros((3, 4)))
    values[:, 1:] = np.nan
    mean, *ends = mean_interval(values)
    assert mean == 1 and np.isnan(ends).all()  # one image


@pytest.mark.parametrize("n", [7, 30])
@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3])
def test_equal_values_are_no_certainty(value, n):
    assert np.isnan(mean_interval(np.full((3, n), value))[1:]).all()


def test_a_norm_has_ends_on_the_logarithmic_scale_or_none():
    one = np.ones(1)
    low, high = bounded_ends(2 * one, one, 3 * one, 0, np.inf)
    np.testing.assert_allclose([low, high], [2 * np.exp(-0.5) * one, 2 * np.exp(0.5) * one])
    assert np.isnan(bounded_ends(1e-3 * one, -one, 2 * one, 0, np.inf)).all()


def test_a_difference_of_other_images_is_refused():
    with pytest.raises(ValueError, match="expected the same images for both, got 2 and 3"):
        difference_interval([[1.0, 2.0]], [[1.0, 2.0, 3.0]])


def test_a_value_at_a_bound_whose_images_differ_by_more_than_it_has_no_interval():
    mean, half = np.array([4e-6, 0.01]), np.array([5e-4, 0.02])
    low, high = bounded_ends(mean, mean - half, mean + half, 0.0, 1.0)
    assert np.isnan([low[0], high[0]]).all()  # half / mean = 125: from e^-125 to 1
    step = 0.02 / (0.01 * 0.99)
    np.testing.assert_allclose([low[1], high[1]], special.expit(special.logit(0.01) + np.array([-step, step])))


def test_without_an_upper_bound_an_interval_of_a_thousandfold_is_none():
    mean, half = np.array([1.0, 1.0]), np.array([6.9, 7.0])  # e^6.9 = 992, e^7 = 1,097
    low, high = bounded_ends(mean, mean - half, mean + half, 0, np.inf)
    np.testing.assert_allclose([low[0], high[0]], [np.exp(-6.9), np.exp(6.9)])
    assert np.isnan([low[1], high[1]]).all()
