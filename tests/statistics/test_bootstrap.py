"""Group means against a slow loop; a bootstrap that is paired, reproducible and about as wide as it says."""

import numpy as np
import pytest

from spectroscope.pipeline.params import validate
from spectroscope.statistics.bootstrap import (
    STREAMS,
    StatisticsSettings,
    by_class,
    counts,
    draws,
    estimate,
    everything,
    group_means,
    interval,
    ratio,
    stream,
    summary,
)


def settings(resamples: int = 300, seed: int = 0, confidence: float = 0.95) -> StatisticsSettings:
    return StatisticsSettings(confidence=confidence, resamples=resamples, seed=seed)


def slow_means(values, groups, seed_counts, image_counts):
    """One weighted mean at a time, as one would say it aloud."""
    result = np.full((len(seed_counts), groups.shape[1], values.shape[2]), np.nan)
    for draw in range(len(seed_counts)):
        for group in range(groups.shape[1]):
            total, weight = np.zeros(values.shape[2]), 0.0
            for seed in range(values.shape[0]):
                for image in range(values.shape[1]):
                    if groups[image, group] and not np.isnan(values[seed, image]).any():
                        times = seed_counts[draw, seed] * image_counts[draw, image]
                        total, weight = total + times * values[seed, image], weight + times
            if weight:
                result[draw, group] = total / weight
    return result


def test_every_stream_is_the_generator_that_published_numbers_were_drawn_with():
    keys = {
        "images": (0,),
        "seeds": (1,),
        "split_half": (2,),
        "class_spectra": (3,),
        "probes": (4,),
        "margins": (5,),
        "null_widening": (6,),
        "perturbations": (7,),
    }
    assert keys == STREAMS
    for name, key in keys.items():
        expected = np.random.default_rng([7, *key]).integers(0, 2**32, 5)
        np.testing.assert_array_equal(stream(settings(seed=7), name).integers(0, 2**32, 5), expected)
    run = np.random.default_rng([7, 1, 3]).integers(0, 2**32, 5)
    np.testing.assert_array_equal(stream(settings(seed=7), "seeds", 3).integers(0, 2**32, 5), run)


def test_no_two_names_share_a_stream():
    first = {name: stream(settings(), name).integers(0, 2**63) for name in STREAMS}
    assert len(set(first.values())) == len(first) and all(STREAMS.values())  # numpy pads keys with zeros: () is (0,)


def test_an_unknown_stream_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match=r"expected a stream of images, seeds, .*, got 'image'"):
        stream(settings(), "image")


def test_a_ratio_does_not_exist_where_its_denominator_is_not_positive():
    np.testing.assert_array_equal(ratio(np.array([1.0, 2.0, 0.0]), np.array([4.0, 0.0, -1.0])), [0.25, np.nan, np.nan])


def test_group_means_equal_a_slow_loop():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 10, 2))
    values[rng.random((3, 10)) < 0.3] = np.nan
    groups = by_class(rng.integers(0, 3, 10), 4)  # the fourth class has no images
    seed_counts, image_counts = rng.integers(0, 3, (250, 3)).astype(float), rng.integers(0, 3, (250, 10)).astype(float)
    means = group_means(values, groups, seed_counts, image_counts)
    assert means.shape == (250, 4, 2)
    np.testing.assert_allclose(means, slow_means(values, groups, seed_counts, image_counts), rtol=0, atol=1e-10)
    assert np.isnan(means[:, 3]).all()


def test_the_estimate_counts_every_seed_and_image_once():
    values = np.random.default_rng(0).normal(size=(4, 9, 3))
    labels = np.array([0, 1, 1, 2, 0, 2, 2, 1, 0])
    np.testing.assert_allclose(estimate(values, everything(9))[0], values.mean((0, 1)), rtol=0, atol=1e-12)
    expected = [values[:, labels == label].mean((0, 1)) for label in range(3)]
    np.testing.assert_allclose(estimate(values, by_class(labels, 3)), expected, rtol=0, atol=1e-12)


def test_values_that_do_not_exist_are_left_out_of_the_estimate():
    values = np.array([[[1.0], [np.nan], [5.0]], [[np.nan], [np.nan], [3.0]]])
    assert estimate(values, everything(3))[0, 0] == pytest.approx(3.0)
    np.testing.assert_allclose(estimate(values, np.eye(3))[:, 0], [1.0, np.nan, 4.0])


def test_the_scores_of_a_class_do_not_change_when_others_join():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(2, 12, 1)), np.arange(12) % 3
    alone = labels == 1
    together = estimate(values, by_class(labels, 3))[1]
    np.testing.assert_allclose(together, estimate(values[:, alone], everything(4))[0], rtol=0, atol=1e-12)


def test_draws_are_the_same_for_the_same_seed_only():
    values, groups = np.random.default_rng(0).normal(size=(3, 20, 2)), everything(20)
    one = draws(values, groups, settings(seed=4), run=0)
    assert one.shape == (300, 1, 2)
    np.testing.assert_array_equal(one, draws(values, groups, settings(seed=4), run=0))
    assert (one != draws(values, groups, settings(seed=5), run=0)).mean() > 0.9


def test_every_run_draws_the_same_images_and_its_own_seeds():
    (seeds, images), (other_seeds, other_images) = (counts(5, 30, settings(), run) for run in (0, 1))
    np.testing.assert_array_equal(images, other_images)
    assert (seeds != other_seeds).any(1).mean() > 0.9
    assert (seeds.sum(1) == 5).all()
    assert (images.sum(1) == 30).all()


def test_runs_with_different_numbers_of_seeds_draw_the_same_images():
    np.testing.assert_array_equal(counts(2, 30, settings(), 0)[1], counts(7, 30, settings(), 3)[1])


def test_draws_scatter_around_the_estimate_as_theory_says():
    values = np.random.default_rng(0).normal(size=(1, 400, 1))  # one seed: a plain bootstrap over images
    drawn = draws(values, everything(400), settings(resamples=4000), 0)[:, 0, 0]
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.005)
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(5, 100, 1))
    shifted = noise + 10 * np.arange(5)[:, None, None]
    narrow, wide = (
        np.subtract(*interval(draws(v, everything(100), settings(), 0), settings())) for v in (noise, shifted)
    )
    assert abs(wide[0, 0]) > 10 * abs(narrow[0, 0])


def test_the_interval_of_a_constant_is_the_constant():
    values = np.full((3, 10, 1), 0.25)
    low, high = interval(draws(values, everything(10), settings(), 0), settings())
    np.testing.assert_allclose([low[0, 0], high[0, 0]], 0.25, rtol=1e-12)


def test_an_interval_holds_its_share_of_the_draws():
    drawn = np.random.default_rng(0).permutation(np.linspace(0, 1, 1001))
    np.testing.assert_allclose(interval(drawn, settings(confidence=0.9)), (0.05, 0.95), atol=1e-9)
    np.testing.assert_allclose(interval(drawn, settings(confidence=0.5)), (0.25, 0.75), atol=1e-9)


def test_draws_without_a_value_are_left_out_and_all_of_them_give_none():
    drawn = np.tile(np.linspace(0, 1, 101)[:, None], (1, 3))
    drawn[::2, 1] = np.nan
    drawn[:, 2] = np.nan
    low, high = interval(drawn, settings(confidence=0.9))
    expected = np.quantile(drawn[1::2, 1], [0.05, 0.95])
    np.testing.assert_allclose([low[0], high[0]], [0.05, 0.95], atol=1e-9)
    np.testing.assert_allclose([low[1], high[1]], expected, atol=1e-9)
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize(("seed_spread", "image_spread"), [(0.2, 1.0), (1.0, 1.0)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(seed_spread, image_spread):
    rng, repetitions, covered = np.random.default_rng(0), 200, 0
    for repetition in range(repetitions):
        of_seed = rng.normal(scale=seed_spread, size=(20, 1, 1))
        of_image = rng.normal(scale=image_spread, size=(1, 40, 1))
        values = 3.0 + of_seed + of_image + rng.normal(scale=0.5, size=(20, 40, 1))
        choice = settings(resamples=200, seed=repetition)
        low, high = interval(draws(values, everything(40), choice, 0), choice)
        covered += low[0, 0] <= 3.0 <= high[0, 0]
    assert 0.88 <= covered / repetitions <= 0.99


def test_a_summary_has_its_mean_interval_and_n():
    drawn = np.linspace(0, 1, 1001)
    row = summary(np.float64(0.4), drawn, (3, 50, 1), settings(confidence=0.9))
    assert row == pytest.approx({"mean": 0.4, "low": 0.05, "high": 0.95, "n_images": 50, "n_seeds": 3})
    assert [type(value) for value in row.values()] == [float, float, float, int, int]


@pytest.mark.parametrize("fault", [{"confidence": 1.0}, {"confidence": 0.0}, {"resamples": 99}, {"seed": -1}])
def test_settings_that_make_no_sense_name_their_key(fault):
    values = {"confidence": 0.95, "resamples": 100, "seed": 0}
    validate(values, StatisticsSettings, "statistics")
    with pytest.raises(ValueError, match=rf"statistics\.{next(iter(fault))}: "):
        validate(values | fault, StatisticsSettings, "statistics")
