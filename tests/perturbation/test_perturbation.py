"""Relative change, its estimators and its control, on perturbations whose spectrum is known."""

import math

import numpy as np
import pytest
import torch

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.frequency.channels import LUMINANCE
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.perturbation import null as control
from spectroscope.perturbation import tables
from spectroscope.perturbation.cell import measure
from spectroscope.perturbation.null import matched_noise
from spectroscope.perturbation.rct import rct_map, relative_change, spectra, undefined_ratios, weighted_median
from spectroscope.perturbation.settings import ESTIMATORS, PerturbationSettings
from spectroscope.perturbation.shares import mean_by_shell, phase_and_amplitude, power_by_shell
from spectroscope.perturbation.tables import resampled_weights
from spectroscope.pipeline import machine

EXACT = {"rtol": 0, "atol": 1e-10}
SETTINGS = PerturbationSettings(
    n_images=1000, channels="each", shapes=["linf"], noise_seed=0, noise_draws=6, resamples=40, splits=3
)
STATISTICS = StatisticsSettings(confidence=0.95, resamples=100, seed=0)
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


@every_estimator
def test_a_draw_equals_the_map_of_the_rows_it_repeats(estimator):
    x, adversarial = images(9, 3, 5, 7), images(9, 3, 5, 7, seed=1)
    x[4] = 0.5  # no ratios outside DC
    change, reference = spectra(x, adversarial, "each")
    weights = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (8, 9))).double()
    drawn = relative_change(change, reference, estimator, weights.repeat_interleave(3, 1))
    for counts, map_ in zip(weights, drawn, strict=True):
        rows = np.repeat(np.arange(9), counts.int())
        torch.testing.assert_close(map_, rct_map(x[rows], adversarial[rows], estimator), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 60])
def test_the_weighted_median_is_numpy_s_of_repeated_rows(size):
    rng = np.random.default_rng(size)
    values = rng.normal(size=(size, 6))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 0] = np.nan
    values[:, 1] = np.arange(size)
    counts = rng.integers(0, 3, (12, size))
    counts[:, 0] += 1
    counts[0, : (size + 1) // 2] += 40  # this draw's medians lie outside the middle ranks
    found = weighted_median(torch.from_numpy(values), torch.from_numpy(counts).double()).numpy()
    for row, draw in zip(found, counts, strict=True):
        for k in range(values.shape[1]):
            repeated = np.repeat(values[:, k], draw)
            there = repeated[np.isfinite(repeated)]
            np.testing.assert_allclose(row[k], np.median(there) if len(there) else np.nan, rtol=1e-12)


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


# Score against noise


def white(x: torch.Tensor, seed: int, size: float = 0.05) -> torch.Tensor:
    """Gaussian noise through the clip."""
    return (x + size * torch.randn(x.shape, generator=generator(seed), dtype=x.dtype)).clamp(0, 1) - x


def banded(x: torch.Tensor, inside: torch.Tensor, seed: int = 1) -> torch.Tensor:
    """A perturbation of these coefficients alone."""
    return 0.02 * idct2(torch.randn(x.shape, generator=generator(seed), dtype=x.dtype) * inside)


def test_gaussian_noise_scores_zero_within_its_interval():
    x = natural(240)
    change, pairs = white(x, 1), units(3, 80)
    null = tables.null(x, change, SETTINGS)
    rows = tables.calibrated(change, null, pairs, SETTINGS, STATISTICS)
    inside = (rows["low"] <= 0) & (rows["high"] >= 0)
    assert inside.mean() >= 0.9
    assert rows["mean"].abs().max() < 0.1
    assert rows["z"].abs().median() < 2
    assert rows["z"].abs().max() < 12  # 5 degrees of freedom


def test_gaussian_noise_on_one_image_scores_zero_within_its_interval_too():
    x = natural(1)
    found = []
    for seed in range(12):
        change = white(x, seed)
        rows = tables.calibrated(change, tables.null(x, change, SETTINGS), units(1, 1), SETTINGS, STATISTICS)
        found.append((rows["low"] <= 0) & (rows["high"] >= 0))
        assert (rows["low"] < rows["high"]).all()
    assert np.mean(found) > 0.85


def test_the_score_is_null_whatever_the_size_of_the_noise_and_the_clip():
    x = images(200, 1, 8, 8).round(decimals=1)  # a fifth of the pixels are at or near black and white
    for size in (0.001, 0.3):
        change = white(x, 3, size)
        rows = tables.calibrated(change, tables.null(x, change, SETTINGS), units(2, 100), SETTINGS, STATISTICS)
        assert rows["mean"].iloc[1:].abs().max() < 0.12, size


def test_the_score_of_a_band_is_the_log_of_its_concentration():
    x, index = natural(60).mul(0.4).add(0.3), shells(16, 16)  # far from the clip
    change = banded(x, index >= 8)
    null = tables.null(x, change, SETTINGS)
    rows = tables.calibrated(change, null, units(2, 30), SETTINGS, STATISTICS).set_index("shell")
    expected = math.log(256 / (256 - 64)) / 2  # all the power in three quarters of the coefficients
    np.testing.assert_allclose(rows.loc[8:, "mean"], expected, atol=0.05)
    assert (rows.loc[8:, "z"] > 5).all()
    assert (rows.loc[:7, "mean"] < -5).all()
    assert (rows.loc[:7, "z"] < -50).all()


def test_the_score_of_a_shell_pools_power_and_that_of_a_coefficient_does_not():
    x = natural(30)
    change = white(x, 1)
    null = tables.null(x, change, SETTINGS)
    power = dct2(change).square().sum(1)
    whole = tables.scored(change, null, units(1, 30), SETTINGS, STATISTICS).whole
    torch.testing.assert_close(whole, (power.sum(0) / null.power.sum(0)).log() / 2, rtol=1e-9, atol=1e-9)
    rows = tables.calibrated(change, null, units(1, 30), SETTINGS, STATISTICS)
    index = shells(16, 16)
    for shell in (0, 5, 15):
        expected = math.log(power[:, index == shell].sum() / null.power[:, index == shell].sum()) / 2
        assert rows["mean"][shell] == pytest.approx(expected)


def test_the_null_is_the_mean_of_its_draws_and_no_draw_is_the_control():
    x = natural(20)
    change = white(x, 1)
    null = tables.null(x, change, SETTINGS)
    again = generator_draws(x, change)
    torch.testing.assert_close(null.power, torch.stack(again).mean(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(null.totals, torch.stack([draw.sum(0) for draw in again]), rtol=1e-9, atol=0)
    first = dct2(matched_noise(x, change, machine.generator(SETTINGS.noise_seed))).square().sum(1)
    assert all((draw - first).abs().max() > 1e-4 for draw in again)
    assert (again[0] - again[1]).abs().max() > 1e-4


def generator_draws(x: torch.Tensor, change: torch.Tensor) -> list[torch.Tensor]:
    source = machine.generator(SETTINGS.noise_seed, 1)
    return [dct2(matched_noise(x, change, source)).square().sum(1) for _ in range(SETTINGS.noise_draws)]


def test_the_spread_of_the_null_is_that_of_draws_against_the_others():
    totals = torch.tensor([[1.0, 4.0], [2.0, 4.0], [4.0, 4.0]], dtype=torch.float64)
    scores = np.log([1 / 3, 2 / 2.5, 4 / 1.5]) / 2
    torch.testing.assert_close(
        control.null_spread(totals), torch.tensor([scores.std(ddof=1), 0.0], dtype=torch.float64), **EXACT
    )


# Phase and amplitude


def test_phase_and_amplitude_add_up_to_the_power_of_the_change():
    x, change = images(4, 3, 7, 10), 0.3 * images(4, 3, 7, 10, seed=1)
    phase, amplitude = phase_and_amplitude(x, change)
    power = torch.fft.fft2(change, norm="ortho").abs().square().sum(1)
    torch.testing.assert_close(phase + amplitude, power, rtol=1e-9, atol=1e-12)
    before, after = np.fft.fft2(x[0, 0], norm="ortho"), np.fft.fft2((x + change)[0, 0], norm="ortho")
    by_hand = 2 * abs(before) * abs(after) * (1 - np.cos(np.angle(after) - np.angle(before)))
    np.testing.assert_allclose(phase_and_amplitude(x[:1, :1], change[:1, :1])[0][0], by_hand, atol=1e-12)


def test_a_shift_turns_phases_and_more_contrast_scales_amplitudes():
    x = images(6, 1, 8, 8)
    pairs = units(2, 3)
    shifted = tables.phases(x, x.roll(1, 3) - x, pairs, SETTINGS, STATISTICS)
    np.testing.assert_allclose(shifted["mean"][1:], 1, atol=1e-9)
    louder = tables.phases(x, 0.2 * x, pairs, SETTINGS, STATISTICS)
    np.testing.assert_allclose(louder["mean"], 0, atol=1e-9)
    assert louder["shell"].tolist() == [0, 1, 2, 3, 4]


# Agreement of halves


def test_the_paper_s_estimator_disagrees_with_itself_and_the_others_do_not():
    x = natural(2000)
    change = 0.03 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype)
    rows = tables.agreement(x, change, tables.null(x, change, SETTINGS), units(1, 2000), SETTINGS, STATISTICS)
    gap = rows.set_index("estimator")["mean"]
    assert gap["mean_of_ratios"] > 0.15
    assert gap[["median_of_ratios", "ratio_of_means", "score"]].max() < 0.05


def test_the_gap_of_halves_is_that_of_their_maps_and_all_seeds_of_an_image_are_in_one():
    x = natural(8).repeat(3, 1, 1, 1)
    change = white(x, 1)
    once = SETTINGS.model_copy(update={"splits": 1})
    null = tables.null(x, change, once)
    rows = tables.agreement(x, change, null, units(3, 8), once, STATISTICS).set_index("estimator")
    first = np.isin(np.tile(np.arange(8), 3), np.random.default_rng([STATISTICS.seed, 2]).permutation(8)[:4])
    for estimator in ESTIMATORS:
        a, b = (rct_map(x[half], (x + change)[half], estimator) for half in (first, ~first))
        assert rows.loc[estimator, "mean"] == pytest.approx(((a - b).abs() / ((a + b) / 2)).median().item())
    power = dct2(change).square().sum(1)
    a, b = ((power[half].sum(0) / null.power[half].sum(0)).log() / 2 for half in (first, ~first))
    assert rows.loc["score", "mean"] == pytest.approx((a - b).abs().median().item())


def test_one_image_has_no_halves():
    x = natural(1)
    change = white(x, 1)
    rows = tables.agreement(x, change, tables.null(x, change, SETTINGS), units(1, 1), SETTINGS, STATISTICS)
    assert rows["estimator"].tolist() == [*ESTIMATORS, "score"]
    assert rows[["mean", "low", "high"]].isna().all(axis=None)


# Tables


def units(seeds: int, n: int) -> np.ndarray:
    """Seed and image of each perturbation: every image for every seed."""
    return np.stack([np.repeat(np.arange(seeds) * 10, n), np.tile(np.arange(n), seeds)], axis=1)


def profile(x: torch.Tensor, change: torch.Tensor, pairs: np.ndarray, settings=SETTINGS):
    maps = tables.estimated(x, change, pairs, ESTIMATORS, settings, STATISTICS)
    return maps, tables.profile(change, maps, pairs, settings, STATISTICS)


def test_a_profile_has_its_numbers_n_and_intervals_around_the_point():
    x = natural(30).repeat(3, 1, 1, 1)
    change = white(x, 1)
    _, rows = profile(x, change, units(3, 30), SETTINGS.model_copy(update={"shapes": ["linf", "radial"]}))
    assert list(rows) == ["shape", "statistic", "shell", "mean", "low", "high", "n_images", "n_seeds"]
    assert rows["statistic"].unique().tolist() == ["power", *ESTIMATORS]
    assert (rows["n_images"] == 90).all()
    assert (rows["n_seeds"] == 3).all()
    for shape in ("linf", "radial"):
        index = shells(16, 16, shape)
        mean = rows[rows["shape"] == shape].pivot(index="statistic", columns="shell", values="mean")
        np.testing.assert_allclose(mean.loc["power"], power_by_shell(change, index).mean(0), rtol=1e-10)
        for estimator in ESTIMATORS:
            expected = mean_by_shell(rct_map(x, x + change, estimator), index)
            np.testing.assert_allclose(mean.loc[estimator], expected, rtol=1e-10)
    inside = rows[rows["statistic"] != "mean_of_ratios"]  # its draws have no mean to lie around
    assert ((inside["low"] <= inside["mean"]) & (inside["mean"] <= inside["high"])).mean() > 0.95
    assert (inside["low"] < inside["high"]).all()


def test_the_map_of_every_coefficient_has_its_interval():
    x = natural(20).repeat(2, 1, 1, 1)
    change = white(x, 1)
    maps, _ = profile(x, change, units(2, 20))
    rows = tables.map_rows(maps, units(2, 20), STATISTICS)
    assert list(rows) == ["estimator", "u", "v", "mean", "low", "high", "n_images", "n_seeds"]
    weights = resampled_weights(units(2, 20), SETTINGS.resamples, STATISTICS)
    for estimator in ESTIMATORS:
        part = rows[rows["estimator"] == estimator]
        whole = part.pivot(index="u", columns="v", values="mean")
        np.testing.assert_allclose(whole, rct_map(x, x + change, estimator), rtol=1e-10)
        by_hand = [
            rct_map(x[rows], (x + change)[rows], estimator)[3, 5].item()
            for rows in (np.repeat(np.arange(40), counts) for counts in weights)
        ]
        cell = part[(part["u"] == 3) & (part["v"] == 5)]
        np.testing.assert_allclose(cell[["low", "high"]].to_numpy()[0], np.quantile(by_hand, [0.025, 0.975]), rtol=1e-9)


def test_the_interval_of_perturbations_that_are_all_alike_is_a_point():
    x = natural(1).expand(6, -1, -1, -1)
    _, rows = profile(x, 0.1 * x, units(2, 3))
    np.testing.assert_allclose(rows["low"], rows["mean"], rtol=1e-10)
    np.testing.assert_allclose(rows["high"], rows["mean"], rtol=1e-10)


def test_a_class_is_measured_on_its_own_images():
    x = natural(20)
    labels, pairs = torch.arange(20) % 3 * 2, units(2, 10)  # classes 0, 2, 4
    change = white(x, 1)
    null = tables.null(x, change, SETTINGS)
    rows = tables.by_class(x, change, null, pairs, labels, tuple("abcde"), SETTINGS, STATISTICS)
    assert rows["class"].unique().tolist() == ["a", "c", "e"]
    own, index = labels == 2, shells(16, 16)
    part = rows[rows["class"] == "c"].pivot(index="statistic", columns="shell", values="mean")
    for estimator in tables.LINEAR:
        expected = mean_by_shell(rct_map(x[own], (x + change)[own], estimator), index)
        np.testing.assert_allclose(part.loc[estimator], expected, rtol=1e-9)
    sums = [by_band(each[own].sum(0), index) for each in (dct2(change).square().sum(1), null.power)]
    np.testing.assert_allclose(part.loc["score"], (sums[0] / sums[1]).log() / 2, rtol=1e-9, atol=1e-12)
    assert rows.loc[rows["class"] == "c", "n_images"].unique().tolist() == [7]


def test_a_cell_measures_attack_and_control_alike():
    x = natural(12)
    change = banded(x, shells(16, 16) < 4)
    found = measure(x, change, units(2, 6), torch.arange(12) % 2, ("a", "b"), SETTINGS, STATISTICS)
    assert set(found) == {"maps", "perturbation", "calibrated", "phase", "classes", "split_half"}
    for name, table in found.items():
        sources = ["attack"] if name in ("classes", "split_half") else ["attack", "control"]
        assert table["source"].unique().tolist() == sources, name
        assert list(table)[-5:] == ["mean", "low", "high", "n_images", "n_seeds"]
    low = found["calibrated"].query("shell < 4").groupby("source")["mean"].mean()
    assert low["attack"] > 1 > 0.3 > abs(low["control"])


def test_a_draw_takes_a_row_as_often_as_its_seed_times_its_image():
    for times in resampled_weights(units(3, 5), 30, STATISTICS):
        assert np.linalg.matrix_rank(times.reshape(3, 5)) == 1
        assert times.sum() == 15


def test_draws_of_ragged_units_are_never_empty():
    pairs = np.array([[0, 0], [1, 1], [2, 2]])  # most draws of seeds and images miss each other
    drawn = resampled_weights(pairs, 50, STATISTICS)
    assert drawn.shape == (50, 3)
    assert (drawn.sum(1) > 0).all()
    torch.testing.assert_close(resampled_weights(pairs, 50, STATISTICS), drawn)
