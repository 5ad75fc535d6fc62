"""Relative change, its estimators and its control, on perturbations whose spectrum is known."""

import math

import numpy as np
import pytest
import torch

from spectroscope.perturbation import (
    ESTIMATORS,
    LUMINANCE,
    PerturbationSettings,
    matched_noise,
    mean_by_shell,
    power_by_shell,
    profile,
    rct_map,
    relative_changes,
    resampled_rows,
    undefined_ratios,
)
from spectroscope.spectrum import dct2, idct2, shells
from spectroscope.stats import StatisticsSettings

EXACT = {"rtol": 0, "atol": 1e-10}
SETTINGS = PerturbationSettings(channels="each", noise_seed=0, resamples=40)
STATISTICS = StatisticsSettings(confidence=0.95, resamples=100, seed=0, reference="standard")
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def natural(n: int, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Images whose amplitude falls as 1/f, as photographs' does: (n, 1, size, size)."""
    f = torch.hypot(*torch.meshgrid(*2 * [torch.arange(size).double()], indexing="ij")).clamp_min(1)
    amplitudes = torch.randn(n, 1, size, size, generator=generator(seed), dtype=torch.float64) / f
    return (0.5 + 0.12 * idct2(amplitudes)).clamp(0, 1)


# Relative change


@every_estimator
@pytest.mark.parametrize("channels", ["each", "luminance"])
def test_no_change_is_zero_and_a_tenth_more_is_a_tenth(estimator, channels):
    x = images(5, 3, 6, 8)
    zero, tenth = torch.zeros(6, 8, dtype=torch.float64), torch.full((6, 8), 0.1, dtype=torch.float64)
    torch.testing.assert_close(rct_map(x, x, estimator, channels), zero, rtol=0, atol=0)
    torch.testing.assert_close(rct_map(x, 1.1 * x, estimator, channels), tenth, **EXACT)


@every_estimator
def test_changes_of_either_sign_do_not_cancel(estimator):
    x = images(2, 1, 4, 4)
    adversarial = torch.stack([2 * x[0], 0 * x[1]])  # every coefficient of one image +1, of the other -1
    torch.testing.assert_close(rct_map(x, adversarial, estimator), torch.ones(4, 4, dtype=torch.float64), **EXACT)


def test_estimators_equal_their_definitions_in_numpy():
    x, adversarial = images(6, 3, 5, 7), images(6, 3, 5, 7, seed=1)
    change = (dct2(adversarial) - dct2(x)).abs().numpy().reshape(18, 5, 7)
    clean = dct2(x).abs().numpy().reshape(18, 5, 7)
    by_hand = {
        "mean_of_ratios": (change / clean).mean(0),
        "median_of_ratios": np.median(change / clean, axis=0),
        "ratio_of_means": change.mean(0) / clean.mean(0),
    }
    for estimator, expected in by_hand.items():
        np.testing.assert_allclose(rct_map(x, adversarial, estimator).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_the_median_is_numpys_where_some_ratios_do_not_exist(n):
    x, adversarial = images(n + 1, 1, 4, 4), images(n + 1, 1, 4, 4, seed=1)
    x[0] = 0  # black: no ratio anywhere
    ratio = ((dct2(adversarial) - dct2(x)) / dct2(x)).abs()[1:, 0]
    np.testing.assert_allclose(rct_map(x, adversarial, "median_of_ratios"), np.median(ratio, axis=0), rtol=1e-10)


@every_estimator
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [8, 31, 32, 224])
def test_flat_images_give_finite_small_maps_and_are_counted(estimator, dtype, grey, size):
    flat = torch.full((2, 3, size, size), grey, dtype=dtype)
    adversarial = flat + 0.01 * images(2, 3, size, size, dtype=dtype)
    change = rct_map(flat, adversarial, estimator)
    assert change.isfinite().all()
    assert change.flatten()[1:].abs().max() == 0  # no ratio outside DC
    without_ratio = size**2 - (grey > 0)  # all but DC
    assert undefined_ratios(flat) == 2 * 3 * without_ratio
    assert undefined_ratios(flat, "luminance") == 2 * without_ratio


@every_estimator
def test_a_flat_image_does_not_disturb_the_others(estimator):
    x = images(7, 1, 8, 8)
    x[3] = 0.4
    adversarial = x + 0.01 * images(7, 1, 8, 8, seed=1)
    rest = [n for n in range(7) if n != 3]
    assert undefined_ratios(x) == 63
    change, expected = rct_map(x, adversarial, estimator), rct_map(x[rest], adversarial[rest], estimator)
    if estimator != "ratio_of_means":  # which keeps the change of an image that has nothing to divide by
        torch.testing.assert_close(change.flatten()[1:], expected.flatten()[1:], **EXACT)
    assert (change.flatten()[1:] < 2 * expected.flatten()[1:]).all()


@every_estimator
def test_a_change_below_half_a_grey_level_is_not_lost(estimator):
    x = images(3, 3, 8, 8, dtype=torch.float32) * 0.9
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
    x, adversarial = images(3, 1, 6, 6), images(3, 1, 6, 6, seed=1)
    one = rct_map(x, adversarial, estimator, "luminance")
    torch.testing.assert_close(one, rct_map(x, adversarial, estimator, "each"), **EXACT)
    in_colour = rct_map(x.expand(3, 3, 6, 6), adversarial.expand(3, 3, 6, 6), estimator, "luminance")
    torch.testing.assert_close(one, in_colour, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_result_has_the_dtype_of_the_images(dtype):
    x, index = images(4, 3, 6, 6, dtype=dtype), shells(6, 6)
    noise = matched_noise(x, 0.01 * x, generator())
    assert {rct_map(x, x + noise, estimator).dtype for estimator in ESTIMATORS} == {dtype}
    assert noise.dtype == power_by_shell(noise, index).dtype == dtype


def test_two_halves_agree_for_the_stable_estimators_only():
    x = natural(2000)
    adversarial = x + 0.03 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype)
    gaps = {}
    for estimator in ESTIMATORS:
        one, other = (rct_map(x[half], adversarial[half], estimator) for half in (slice(1000), slice(1000, None)))
        gaps[estimator] = ((one - other).abs() / ((one + other) / 2)).median().item()
    assert gaps["median_of_ratios"] < 0.05
    assert gaps["ratio_of_means"] < 0.05
    assert gaps["mean_of_ratios"] > 2 * max(gaps["median_of_ratios"], gaps["ratio_of_means"])


def test_relative_changes_are_the_maps_as_rows():
    x, adversarial = images(4, 3, 5, 7), images(4, 3, 5, 7, seed=1)
    rows = relative_changes(x, adversarial, SETTINGS)
    assert list(rows) == ["estimator", "u", "v", "value"]
    assert len(rows) == 3 * 35
    for estimator in ESTIMATORS:
        part = rows[rows["estimator"] == estimator]
        np.testing.assert_array_equal(
            part.pivot(index="u", columns="v", values="value"), rct_map(x, adversarial, estimator)
        )


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
        (lambda x: undefined_ratios(x, "grey"), "expected channels each or luminance, got 'grey'"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(images(2, 3, 4, 4) + 0.1)


# Power


@pytest.mark.parametrize("shape", ["linf", "radial", "diagonal"])
def test_shares_of_power_sum_to_one(shape):
    power = power_by_shell(images(5, 3, 9, 12) - 0.5, shells(9, 12, shape))
    torch.testing.assert_close(power.sum(1), torch.ones(5, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize(("u", "v"), [(0, 0), (3, 1), (2, 11), (8, 8)])
def test_the_power_of_a_pure_cosine_is_in_its_shell(u, v):
    spectrum = torch.zeros(2, 3, 9, 12, dtype=torch.float64)
    spectrum[0, :, u, v], spectrum[1, 2, u, v] = 0.1, -7.0
    expected = torch.zeros(2, 12, dtype=torch.float64)
    expected[:, max(u, v)] = 1
    torch.testing.assert_close(power_by_shell(idct2(spectrum), shells(9, 12)), expected, **EXACT)


def test_power_pools_channels_by_their_energy():
    spectrum = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    spectrum[0, 0, 0, 0], spectrum[0, 1, 2, 1], spectrum[0, 2, 3, 3] = 1.0, -2.0, 3.0
    power = power_by_shell(idct2(spectrum), shells(4, 4))
    torch.testing.assert_close(power, torch.tensor([[1.0, 0.0, 4.0, 9.0]], dtype=torch.float64) / 14, **EXACT)


def test_a_perturbation_that_is_zero_has_no_shares():
    power = power_by_shell(torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]), shells(4, 4))
    assert power[0].isnan().all()
    torch.testing.assert_close(power[1], torch.tensor([1.0, 0, 0, 0]), rtol=0, atol=1e-6)


def test_white_noise_has_power_in_proportion_to_the_size_of_a_shell():
    index = shells(16, 16)
    noise = torch.randn(500, 1, 16, 16, generator=generator(), dtype=torch.float64)
    expected = torch.bincount(index.flatten()).double() / 256
    torch.testing.assert_close(power_by_shell(noise, index).mean(0), expected, rtol=0.1, atol=0)


def test_the_mean_of_a_map_over_a_shell_is_that_of_its_coefficients():
    values, index = images(5, 7), shells(5, 7)
    expected = torch.stack([values[index == shell].mean() for shell in range(7)])
    torch.testing.assert_close(mean_by_shell(values, index), expected, **EXACT)


# Control


@pytest.mark.parametrize("bright", ["uniform", "black and white"])
def test_the_control_has_the_norm_of_the_perturbation_after_the_clip(bright):
    x = images(6, 3, 8, 8)
    x = x if bright == "uniform" else x.round()
    change = (x + 0.1 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype)).clamp(0, 1) - x
    change[2] *= 1e-3
    noise = matched_noise(x, change, generator(2))
    norms, expected = noise.flatten(1).norm(dim=1), change.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, expected, rtol=1e-3, atol=0)
    assert (x + noise).min() >= 0
    assert (x + noise).max() <= 1


def test_the_control_of_no_change_is_no_change():
    x = images(2, 1, 4, 4)
    noise = matched_noise(x, torch.zeros_like(x), generator())
    torch.testing.assert_close(noise, torch.zeros_like(x), rtol=0, atol=0)


def test_the_control_is_the_same_for_the_same_seed_only():
    x = images(2, 1, 4, 4)
    one, again, other = (matched_noise(x, 0.1 * x, generator(seed)) for seed in (5, 5, 6))
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert (one - other).abs().max() > 1e-3


def test_the_control_where_the_clip_leaves_no_room_stays_finite():
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float32)
    noise = matched_noise(x, torch.ones_like(x), generator())  # half of the noise points below black
    assert noise.isfinite().all()
    assert noise.min() >= 0
    assert noise.max() <= 1


@every_estimator
def test_white_noise_is_one_times_its_own_control(estimator):
    x = natural(1000)
    white = (x + 0.05 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype)).clamp(0, 1) - x
    control = matched_noise(x, white, generator(2))
    ratio = rct_map(x, x + white, estimator) / rct_map(x, x + control, estimator)
    assert abs(ratio.log().median().item()) < 0.02
    index = shells(16, 16)
    by_shell = power_by_shell(white, index).mean(0) / power_by_shell(control, index).mean(0)
    torch.testing.assert_close(by_shell[1:], torch.ones(15, dtype=torch.float64), rtol=0, atol=0.12)


def test_a_low_perturbation_stands_out_from_its_control():
    x, index = natural(50), shells(16, 16)
    spectrum = torch.randn(x.shape, generator=generator(1), dtype=x.dtype) * (index < 4)
    low = idct2(spectrum) * 0.1
    control = matched_noise(x, low, generator(2))
    ratio = mean_by_shell(rct_map(x, x + low, "ratio_of_means"), index) / mean_by_shell(
        rct_map(x, x + control, "ratio_of_means"), index
    )
    assert (ratio[:4] > 2).all()
    assert (ratio[4:] < 1e-6).all()


# Profiles


def units(seeds: int, n: int) -> np.ndarray:
    """Seed and image of each perturbation: every image for every seed."""
    return np.stack([np.repeat(np.arange(seeds) * 10, n), np.tile(np.arange(n), seeds)], axis=1)


def test_a_profile_has_its_numbers_n_and_intervals_around_the_point():
    x = natural(30).repeat(3, 1, 1, 1)
    adversarial = x + 0.05 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype)
    index = shells(16, 16)
    rows = profile(x, adversarial, units(3, 30), index, SETTINGS, STATISTICS)
    assert list(rows) == ["measure", "shell", "mean", "low", "high", "n_images", "n_seeds"]
    assert rows["measure"].unique().tolist() == ["power", *ESTIMATORS]
    assert len(rows) == 4 * 16
    assert (rows["n_images"] == 90).all()
    assert (rows["n_seeds"] == 3).all()
    mean = rows.pivot(index="measure", columns="shell", values="mean")
    power = power_by_shell(adversarial - x, index).mean(0)
    np.testing.assert_allclose(mean.loc["power"], power, rtol=1e-10)
    for estimator in ESTIMATORS:
        expected = mean_by_shell(rct_map(x, adversarial, estimator), index)
        np.testing.assert_allclose(mean.loc[estimator], expected, rtol=1e-10)
    inside = rows[rows["measure"] != "mean_of_ratios"]  # its draws have no mean to lie around
    assert ((inside["low"] <= inside["mean"]) & (inside["mean"] <= inside["high"])).mean() > 0.95
    assert (inside["low"] < inside["high"]).all()
    assert profile(x, adversarial, units(3, 30), index, SETTINGS, STATISTICS).equals(rows)


def test_the_interval_of_perturbations_that_are_all_alike_is_a_point():
    x = natural(1).expand(6, -1, -1, -1)
    rows = profile(x, 1.1 * x, units(2, 3), shells(16, 16), SETTINGS, STATISTICS)
    np.testing.assert_allclose(rows["low"], rows["mean"], rtol=1e-10)
    np.testing.assert_allclose(rows["high"], rows["mean"], rtol=1e-10)


def test_a_draw_takes_a_row_as_often_as_its_seed_times_its_image():
    pairs = units(3, 5)
    for rows in resampled_rows(pairs, 30, STATISTICS):
        times = np.bincount(rows, minlength=15).reshape(3, 5)
        assert np.linalg.matrix_rank(times) == 1
        assert times.sum() == 15


def test_draws_of_ragged_units_are_never_empty():
    pairs = np.array([[0, 0], [1, 1], [2, 2]])  # most draws of seeds and images miss each other
    drawn = list(resampled_rows(pairs, 50, STATISTICS))
    assert len(drawn) == 50
    assert all(len(rows) > 0 for rows in drawn)
    again = list(resampled_rows(pairs, 50, STATISTICS))
    for rows, same in zip(drawn, again, strict=True):
        torch.testing.assert_close(rows, same)
