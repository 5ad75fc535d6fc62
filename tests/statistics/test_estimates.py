"""Estimates: means and other statistics of each network, their groups of images, and the rows of a table."""

import numpy as np
import pytest
from scipy import special

from spectroscope.statistics.estimates import (
    StatisticsSettings,
    align,
    balanced,
    balanced_weights,
    difference,
    group_names,
    image_groups,
    jackknife,
    means,
    medians,
    subtract,
    summary,
)
from spectroscope.statistics.intervals import difference_interval, mean_interval

RNG = np.random.default_rng(0)
SETTINGS = StatisticsSettings(confidence=0.95, groups=10)
ONE_EACH = np.arange(40)


def figures(row):
    return [float(row[name][0]) for name in ("mean", "low", "high")]


def share(values, _):
    above, below = values.sum(0)
    return np.array([above / (above + below)])


def test_means_have_the_intervals_of_the_public_functions():
    a, b = RNG.normal(size=(2, 3, 40))
    clusters = np.repeat(np.arange(20), 2)
    of_a, of_b = (means(values[:, :, None], clusters) for values in (a, b))
    np.testing.assert_allclose(figures(summary(of_a, SETTINGS)), mean_interval(a, clusters=clusters))
    np.testing.assert_allclose(figures(difference(of_a, of_b, SETTINGS)), difference_interval(a, b, clusters=clusters))


def test_the_jackknife_of_a_mean_is_its_interval_over_groups():
    values, groups = RNG.normal(size=(3, 40, 2)), np.repeat(np.arange(8), 5)
    found, expected = jackknife(values, lambda network, _: network.mean(0), groups), means(values, groups)
    np.testing.assert_allclose(found.by_network, expected.by_network)
    np.testing.assert_allclose(found.cells, expected.cells)


def test_a_statistic_of_two_copies_of_a_network_is_that_of_one():
    values, groups = RNG.random((1, 40, 2)), ONE_EACH % 10
    one, two = (jackknife(np.repeat(values, n, axis=0), share, groups) for n in (1, 2))
    assert summary(one, SETTINGS)["mean"] == summary(two, SETTINGS)["mean"]


def test_one_network_has_an_interval_and_two_have_their_values():
    one, two = (summary(means(RNG.random((n, 40, 1)), ONE_EACH), SETTINGS) for n in (1, 2))
    assert np.isfinite(figures(one)).all() and one["n_seeds"] == 1
    assert np.isnan(figures(two)[1:]).all() and len(two["networks"][0].split()) == 2


def test_a_network_without_a_value_does_not_count():
    values = RNG.random((4, 40, 2))
    values[0, :, 1] = np.nan
    row = summary(means(values, ONE_EACH), SETTINGS)
    np.testing.assert_array_equal(row["n_seeds"], [4, 3])
    assert row["mean"][1] == pytest.approx(values[1:, :, 1].mean()) and np.isfinite(row["low"]).all()


def test_the_same_networks_are_compared_in_pairs():
    networks = RNG.normal(scale=5, size=(3, 1, 1)) + RNG.normal(scale=5, size=(1, 40, 1))
    a, b = (means(networks + RNG.normal(loc=shift, scale=0.1, size=(3, 40, 1)), ONE_EACH) for shift in (0.3, 0.0))
    paired, apart = summary(subtract(a, b), SETTINGS), difference(a, b, SETTINGS)
    assert paired["low"] > 0 > apart["low"]
    assert paired["mean"] == pytest.approx(apart["mean"])


def test_groups_keep_clusters_whole_and_spread_classes():
    labels = np.repeat([0, 1, 2], 20)
    clusters = np.arange(60) // 2
    groups = image_groups(clusters, labels, 10)
    assert groups.max() == 9
    assert all(len(set(groups[clusters == cluster])) == 1 for cluster in range(30))
    assert all(len(set(groups[labels == label])) == 10 for label in range(3))


def test_every_class_is_spread_over_the_groups_in_whatever_order_the_images_come():
    labels = np.tile([0, 1, 2, 3], 10)  # dealt out in this order, a class would lie in 5 of 10 groups
    groups = image_groups(ONE_EACH, labels, 10)
    assert all(len(set(groups[labels == label])) == 10 for label in range(4))


def test_balanced_halves_of_a_mean_have_the_cells_of_its_groups():
    values, groups = RNG.normal(size=(3, 40, 2)), np.repeat(np.arange(8), 5)
    weights = balanced_weights(groups)
    assert weights.shape == (15, 40) and set(np.unique(weights)) == {0.5, 1.0, 1.5}
    replicates = np.einsum("ri,sik->srk", weights, values) / weights.sum(1)[:, None]
    expected = means(values, groups)
    found = balanced(replicates, 40)
    np.testing.assert_allclose(found.by_network, expected.by_network)
    np.testing.assert_allclose(found.cells, expected.cells)


def test_balanced_halves_fold_the_groups_to_a_power_of_two():
    weights = balanced_weights(np.arange(20))
    assert weights.shape == (2 * 16 - 1, 20)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 16])


def test_images_of_a_single_cluster_have_every_statistic_without_an_interval():
    values, clusters, labels = RNG.random((3, 6, 2)) + 1, np.full(6, 7), np.arange(6) % 2
    groups = image_groups(clusters, labels, 10)
    np.testing.assert_array_equal(groups, np.zeros(6))
    weights = balanced_weights(groups)
    np.testing.assert_array_equal(weights, np.ones((1, 6)))
    found = {
        "mean": means(values, clusters),
        "jackknife": jackknife(values, share, groups),
        "balanced": balanced(np.einsum("ri,sik->srk", weights, values), 6),
        "median": medians(values, clusters, labels),
    }
    expected = {
        "mean": values.mean((0, 1)),
        "jackknife": [(values[..., 0].sum(1) / values.sum((1, 2))).mean()],
        "balanced": values.sum(1).mean(0),
        "median": np.median(values, 1).mean(0),
    }
    for name, estimates in found.items():
        row = summary(estimates, SETTINGS)
        np.testing.assert_allclose(row["mean"], expected[name], err_msg=name)
        assert np.isnan([row["low"], row["high"]]).all(), name
        less = difference(estimates, estimates, SETTINGS)
        assert (less["mean"] == 0).all() and np.isnan([less["low"], less["high"]]).all(), name
    mean, low, high = mean_interval(values[..., 0], clusters=clusters)
    assert mean == pytest.approx(values[..., 0].mean()) and np.isnan([low, high]).all()
    mean, low, high = difference_interval(values[..., 0], values[..., 1], clusters=clusters)
    assert mean == pytest.approx((values[..., 0] - values[..., 1]).mean()) and np.isnan([low, high]).all()


def test_a_median_is_infinite_where_half_of_the_values_are_and_leaves_out_what_does_not_count():
    values = np.arange(1.0, 10)[None, :, None].repeat(3, 2)
    values[0, 3:, 0] = np.inf
    values[0, 8:, 1] = np.inf
    values[0, 0, 2] = np.nan
    found = medians(values, np.arange(9), np.zeros(9))
    np.testing.assert_array_equal(found.by_network, [[np.inf, 5, 5.5]])
    assert found.cells.shape == (1, 3, 3) and found.bounds == (0, np.inf)  # three groups of three images
    assert np.isfinite(found.cells[:, :, 1:]).all()


def test_bounds_keep_an_interval_between_them():
    values, groups = RNG.random((3, 40, 2)) ** 8, ONE_EACH % 10
    free, bound = (summary(jackknife(values, share, groups, bounds), SETTINGS) for bounds in (None, (0.0, 1.0)))
    assert free["mean"] == bound["mean"]
    low, mean, high = (float(special.logit(bound[name][0])) for name in ("low", "mean", "high"))
    assert high - mean == pytest.approx(mean - low)
    step = float(free["high"][0] - free["mean"][0]) / float(free["mean"][0] * (1 - free["mean"][0]))
    assert high - mean == pytest.approx(step)


def test_a_difference_of_shares_has_the_interval_of_the_public_function():
    a, b = (RNG.random((2, 3, 45)) < [[[0.3]], [[0.02]]]).astype(float)
    of_a, of_b = (means(values[:, :, None], np.arange(45), share=True) for values in (a, b))
    np.testing.assert_allclose(figures(difference(of_a, of_b, SETTINGS)), difference_interval(a, b))


def test_a_share_of_none_has_an_exact_end():
    row = summary(means(np.zeros((3, 45, 1)), np.arange(45), share=True), SETTINGS)
    np.testing.assert_allclose(figures(row), (0, 0, 1 - 0.025 ** (1 / 45)))


def test_as_many_groups_of_other_images_are_not_subtracted():
    a, b = (means(RNG.normal(size=(3, 40, 1)), clusters) for clusters in (ONE_EACH, ONE_EACH + 1))
    for compare in (lambda: subtract(a, b), lambda: difference(a, b, SETTINGS)):
        with pytest.raises(ValueError, match="got as many groups of other images"):
            compare()


def test_the_name_of_a_group_is_that_of_its_images_alone():
    clusters = np.arange(100, 106)
    one, other = (
        group_names(np.array([0, 0, 1, 1, 2, 2]), clusters),
        group_names(np.array([1, 1, 0, 0, -1, 2]), clusters),
    )
    assert one[0] == other[1] and one[1] == other[0] and one[2] != other[2] and (one < 0).all()


def test_aligned_estimates_are_paired_where_their_images_are_the_same():
    values = RNG.normal(size=(3, 40, 1))
    some, all_of_them = means(values[:, :30], ONE_EACH[:30]), means(values, ONE_EACH)
    np.testing.assert_array_equal(subtract(*align(some, some)).cells, 0)
    one, other = align(some, all_of_them)
    assert one.cells.shape == other.cells.shape == (3, 40, 1) and one.n_images == 30
    np.testing.assert_allclose(one.cells.mean(1), some.by_network)
    # the variance of the difference of the mean of 30 and of all 40: that of means of 30 and 10 others, times (1/4)^2
    paired = subtract(one, other).cells[:, :, 0].mean(0).var(ddof=1) / 40
    means_of = values[:, :, 0].mean(0)
    apart = (means_of[:30].var() / 30 + means_of[30:].var() / 10) / 16
    assert paired == pytest.approx(apart, rel=0.25)


def test_aligned_estimates_of_other_images_have_the_variance_of_both():
    a, b = means(RNG.normal(size=(1, 20, 1)), np.arange(20)), means(RNG.normal(size=(1, 20, 1)), np.arange(20, 40))
    together = subtract(*align(a, b)).cells[0, :, 0].var(ddof=1) / 40
    apart = sum(each.cells[0, :, 0].var(ddof=1) / 20 for each in (a, b))
    assert together == pytest.approx(apart, rel=0.05)
