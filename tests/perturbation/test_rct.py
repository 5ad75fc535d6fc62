"""Relative change and its estimators, on perturbations whose spectrum is known."""

import math

import numpy as np
import pytest
import torch
from perturbations import EXACT, uniform

from spectroscope.frequency.channels import LUMINANCE
from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.rct import ESTIMATORS, rct_map, vanishing, weighted_median, weighted_relative_change
from spectroscope.perturbation.spectra import change_and_reference

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def undefined_ratios(x: torch.Tensor, channels: str = "each") -> int:
    return int(vanishing(change_and_reference(x, x, channels)[1]).sum())


@every_estimator
@pytest.mark.parametrize("channels", ["each", "luminance"])
def test_no_change_is_zero_and_a_tenth_more_is_a_tenth(estimator, channels):
    x = uniform(5, 3, 6, 8)
    zero, tenth = torch.zeros(6, 8, dtype=torch.float64), torch.full((6, 8), 0.1, dtype=torch.float64)
    torch.testing.assert_close(rct_map(x, x, estimator, channels), zero, rtol=0, atol=0)
    torch.testing.assert_close(rct_map(x, 1.1 * x, estimator, channels), tenth, **EXACT)


@every_estimator
def test_changes_of_either_sign_do_not_cancel(estimator):
    x = uniform(2, 1, 4, 4)
    adversarial = torch.stack([2 * x[0], 0 * x[1]])  # every coefficient of one image +1, of the other -1
    torch.testing.assert_close(rct_map(x, adversarial, estimator), torch.ones(4, 4, dtype=torch.float64), **EXACT)


def test_estimators_equal_their_definitions_in_numpy():
    x, adversarial = uniform(40, 3, 5, 7), uniform(40, 3, 5, 7, seed=1)  # more than one batch
    change = (dct2(adversarial) - dct2(x)).abs().numpy().reshape(-1, 5, 7)
    clean = dct2(x).abs().numpy().reshape(-1, 5, 7)
    by_hand = {
        "mean_of_ratios": (change / clean).mean(0),
        "median_of_ratios": np.median(change / clean, axis=0),
        "ratio_of_means": change.mean(0) / clean.mean(0),
    }
    for estimator, expected in by_hand.items():
        np.testing.assert_allclose(rct_map(x, adversarial, estimator).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_median_is_numpys_where_some_ratios_do_not_exist(n):
    x, adversarial = uniform(n + 1, 1, 4, 4), uniform(n + 1, 1, 4, 4, seed=1)
    x[0] = 0  # black: no ratio anywhere
    ratio = ((dct2(adversarial) - dct2(x)) / dct2(x)).abs()[1:, 0]
    np.testing.assert_allclose(rct_map(x, adversarial, "median_of_ratios"), np.median(ratio, axis=0), rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [0.0, 0.3])
@pytest.mark.parametrize("size", [8, 31, 224])
def test_flat_images_have_ratios_at_dc_alone_and_give_finite_maps(dtype, grey, size):
    flat = torch.full((2, 3, size, size), grey, dtype=dtype)
    adversarial = flat + 0.01 * uniform(2, 3, size, size, dtype=dtype)
    for estimator in ESTIMATORS:
        change = rct_map(flat, adversarial, estimator)
        assert change.isfinite().all() and change.dtype == dtype
        assert change.flatten()[1:].abs().max() == 0
    without_ratio = size**2 - (grey > 0)
    assert undefined_ratios(flat) == 2 * 3 * without_ratio
    assert undefined_ratios(flat, "luminance") == 2 * without_ratio


@every_estimator
def test_a_flat_image_does_not_disturb_the_others(estimator):
    x = uniform(7, 1, 8, 8)
    x[3] = 0.4
    adversarial = x + 0.01 * uniform(7, 1, 8, 8, seed=1)
    rest = [n for n in range(7) if n != 3]
    assert undefined_ratios(x) == 63
    change, expected = rct_map(x, adversarial, estimator), rct_map(x[rest], adversarial[rest], estimator)
    if estimator != "ratio_of_means":  # which keeps the change of an image that has nothing to divide by
        torch.testing.assert_close(change.flatten()[1:], expected.flatten()[1:], **EXACT)
    assert (change.flatten()[1:] < 2 * expected.flatten()[1:]).all()


@every_estimator
def test_a_change_below_half_a_grey_level_is_not_lost(estimator):
    x = uniform(3, 3, 8, 8, dtype=torch.float32) * 0.9
    change = rct_map(x, x + 0.4 / 255, estimator)
    at_dc = 8 * 0.4 / 255 / dct2(x)[..., 0, 0]
    assert at_dc.min() - 1e-5 <= change[0, 0] <= at_dc.max() + 1e-5
    assert change[0, 0] > 1e-3
    assert change.flatten()[1:].max() < 1e-4


@every_estimator
def test_luminance_weights_stand_on_their_channels(estimator):
    x = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        adversarial = x.clone()
        adversarial[:, channel] += 0.1
        assert rct_map(x, adversarial, estimator, "luminance")[0, 0].item() == pytest.approx(weight * 0.1 / 0.5)
    assert sum(LUMINANCE) == pytest.approx(1)


@every_estimator
def test_luminance_of_grey_images_is_their_one_channel(estimator):
    x, adversarial = uniform(3, 1, 6, 6), uniform(3, 1, 6, 6, seed=1)
    one = rct_map(x, adversarial, estimator, "luminance")
    torch.testing.assert_close(one, rct_map(x, adversarial, estimator, "each"), **EXACT)
    in_colour = rct_map(x.expand(3, 3, 6, 6), adversarial.expand(3, 3, 6, 6), estimator, "luminance")
    torch.testing.assert_close(one, in_colour, **EXACT)


@every_estimator
def test_a_replicate_equals_the_map_of_the_rows_it_counts(estimator):
    x, adversarial = uniform(9, 3, 5, 7), uniform(9, 3, 5, 7, seed=1)
    x[4] = 0.5  # no ratios outside DC
    change, reference = change_and_reference(x, adversarial, "each")
    weights = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (8, 9))).double()
    drawn = weighted_relative_change(change, reference, estimator, weights.repeat_interleave(3, 1))
    for counts, replicate in zip(weights, drawn, strict=True):
        rows = np.repeat(np.arange(9), counts.int())
        torch.testing.assert_close(replicate, rct_map(x[rows], adversarial[rows], estimator), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 60])
def test_the_weighted_median_is_numpys_of_repeated_rows(size):
    rng = np.random.default_rng(size)
    values = rng.normal(size=(size, 6))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 0] = np.nan
    values[:, 1] = np.arange(size)
    counts = rng.integers(0, 3, (12, size))
    counts[:, 0] += 1
    counts[0, : (size + 1) // 2] += 40  # this draw's medians lie outside the middle ranks
    medians = weighted_median(torch.from_numpy(values), torch.from_numpy(counts).double()).numpy()
    for row, draw in zip(medians, counts, strict=True):
        for k in range(values.shape[1]):
            repeated = np.repeat(values[:, k], draw)
            defined = repeated[np.isfinite(repeated)]
            np.testing.assert_allclose(row[k], np.median(defined) if len(defined) else np.nan, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: rct_map(x, x[:1]), r"one shape, got \(2, 3, 4, 4\) and \(1, 3, 4, 4\)"),
        (lambda x: rct_map(x[0], x[0]), r"expected two sets of images \(N, 1 or 3, H, W\) of one shape"),
        (lambda x: rct_map(x[:, :2], x[:, :2]), r"N, 1 or 3, H, W"),
        (lambda x: rct_map(x[:0], x[:0]), "expected at least one image, got none"),
        (lambda x: rct_map(x, x * math.nan), "expected finite images, got NaN or infinity"),
        (lambda x: rct_map(x * math.inf, x), "expected finite images, got NaN or infinity"),
        (lambda x: rct_map(x, x, "mean"), "expected an estimator among mean_of_ratios, .*, got 'mean'"),
        (lambda x: rct_map(x, x, channels="grey"), "expected channels each or luminance, got 'grey'"),
    ],
)
def test_images_estimators_and_channels_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(2, 3, 4, 4) + 0.1)
