"""Norm-matched noise and the score against it: noise scores 0, a band scores the log of its concentration."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from perturbations import (
    EXACT,
    SETTINGS,
    STATISTICS,
    banded,
    generator,
    natural,
    nulls_of,
    spectra_of,
    uniform,
    white,
)
from scipy import stats

from spectroscope.frequency.partitions import mean_by_band
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.perturbation.null import matched_noise, null_spread
from spectroscope.perturbation.rct import ESTIMATORS, rct_map
from spectroscope.perturbation.spectra import power
from spectroscope.perturbation.tables import calibrated_table, coefficient_scores, power_share
from spectroscope.pipeline import machine


def table_of(networks, nulls):
    """The table of scores; the names of the groups of images do not matter here."""
    return calibrated_table(networks, nulls, np.arange(len(networks[0].weights) - 1), STATISTICS)


def calibrated(x: torch.Tensor, change: torch.Tensor, seeds: int = 1):
    return table_of(spectra_of(x, change, seeds), nulls_of(x, change, seeds))


# The control


@pytest.mark.parametrize("bright", ["uniform", "black and white"])
def test_the_control_has_the_norm_of_the_perturbation_after_the_clip(bright):
    x = uniform(6, 3, 8, 8)
    x = x if bright == "uniform" else x.round()
    change = white(x, size=0.1)
    change[2] *= 1e-3
    noise = matched_noise(x, change, generator(2))
    norms, expected = noise.flatten(1).norm(dim=1), change.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, expected, rtol=1e-3, atol=0)
    assert (x + noise).min() >= 0
    assert (x + noise).max() <= 1


def test_the_control_of_no_change_is_no_change():
    x = uniform(2, 1, 4, 4)
    noise = matched_noise(x, torch.zeros_like(x), generator())
    torch.testing.assert_close(noise, torch.zeros_like(x), rtol=0, atol=0)


def test_the_control_is_the_same_for_the_same_seed_only():
    x = uniform(2, 1, 4, 4)
    one, again, other = (matched_noise(x, 0.1 * x, generator(seed)) for seed in (5, 5, 6))
    torch.testing.assert_close(one, again, rtol=0, atol=0)
    assert (one - other).abs().max() > 1e-3


def test_the_control_where_the_clip_leaves_no_room_stays_finite():
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float32)
    noise = matched_noise(x, torch.ones_like(x), generator())  # half of the noise points below black
    assert noise.isfinite().all() and noise.dtype == x.dtype
    assert noise.min() >= 0
    assert noise.max() <= 1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_white_noise_changes_as_much_as_its_own_control(estimator):
    x = natural(1000)
    change = white(x)
    control = matched_noise(x, change, generator(2))
    ratio = rct_map(x, x + change, estimator) / rct_map(x, x + control, estimator)
    assert abs(ratio.log().median().item()) < 0.02
    shares = [power_share(power(noise), shells(16, 16)).mean(0) for noise in (change, control)]
    torch.testing.assert_close(shares[0][1:], shares[1][1:], rtol=0.12, atol=0)


def test_a_low_perturbation_stands_out_from_its_control():
    x, index = natural(50), shells(16, 16)
    low = idct2(torch.randn(x.shape, generator=generator(1), dtype=x.dtype) * (index < 4)) * 0.1
    changes = low, matched_noise(x, low, generator(2))
    attack, control = (mean_by_band(rct_map(x, x + change, "ratio_of_means"), index) for change in changes)
    assert (attack / control)[:4].min() > 2
    assert (attack / control)[4:].max() < 1e-6


# The score


def scored(seed: int, low_gain: float = 1.0) -> pd.DataFrame:
    """The calibrated table of white noise as the attack, on 20 images, alike for three networks; 4 draws make the null.

    low_gain: factor of its coefficients below shell 2, before the clip.
    """
    x = natural(20, 6, seed).repeat(3, 1, 1, 1)
    direction = torch.randn(x.shape, generator=generator(1000 + seed), dtype=x.dtype)
    direction[..., :2, :2] *= low_gain
    change = (x + 0.05 * idct2(direction)).clamp(0, 1) - x
    settings = SETTINGS.model_copy(update={"noise_seed": seed, "noise_draws": 4})
    return table_of(spectra_of(x, change, 3), nulls_of(x, change, 3, settings))


def test_the_intervals_and_z_of_white_noise_hold_zero_as_often_as_they_say():
    rows = pd.concat([scored(seed) for seed in range(300)])
    inside = (rows["low"] <= 0) & (rows["high"] >= 0)
    assert 0.93 <= inside.mean() <= 0.97, inside.mean()
    within = rows["z"].abs() < stats.t.ppf(0.975, 3)
    assert 0.93 <= within.mean() <= 0.97, within.mean()


def test_a_planted_low_frequency_perturbation_is_outside_the_interval_of_noise():
    rows = pd.concat([scored(seed, low_gain=2) for seed in range(20)])
    assert (rows.query("shell == 1")["low"] > 0).mean() > 0.9
    assert (rows.query("shell == 5")["high"] < 0).mean() > 0.5  # at the same norm, the rest has less than noise


def test_the_score_is_null_whatever_the_size_of_the_noise_and_the_clip():
    x = uniform(200, 1, 8, 8).round(decimals=1)  # a fifth of the pixels are at or near black and white
    for size in (0.001, 0.3):
        rows = calibrated(x, white(x, 3, size), seeds=2)
        assert rows["mean"].iloc[1:].abs().max() < 0.12, size


def test_the_score_of_a_band_is_the_log_of_its_concentration():
    x, index = natural(60).mul(0.4).add(0.3), shells(16, 16)  # far from the clip
    rows = calibrated(x, banded(x, index >= 8), seeds=2).set_index("shell")
    expected = math.log(256 / (256 - 64)) / 2  # all the power in three quarters of the coefficients
    np.testing.assert_allclose(rows.loc[8:, "mean"], expected, atol=0.05)
    assert (rows.loc[8:, "z"] > 5).all()
    assert (rows.loc[:7, "mean"] < -5).all()
    assert (rows.loc[:7, "z"] < -50).all()


def test_the_score_of_a_shell_pools_power_and_that_of_a_coefficient_does_not():
    x = natural(30)
    change = white(x)
    (null,), attack = nulls_of(x, change), dct2(change).square().sum(1)
    whole = coefficient_scores(spectra_of(x, change), [null])[0, 0]
    torch.testing.assert_close(whole, (attack.sum(0) / null.power.sum(0)).log() / 2, rtol=1e-9, atol=1e-9)
    rows, index = calibrated(x, change), shells(16, 16)
    for shell in (0, 5, 15):
        expected = math.log(attack[:, index == shell].sum() / null.power[:, index == shell].sum()) / 2
        assert rows["mean"][shell] == pytest.approx(expected)


def test_the_null_is_the_mean_of_its_draws_and_no_draw_is_the_control():
    x = natural(20)
    change = white(x)
    (null,), stream = nulls_of(x, change), machine.generator(SETTINGS.noise_seed, 1)
    draws = [dct2(matched_noise(x, change, stream)).square().sum(1) for _ in range(SETTINGS.noise_draws)]
    torch.testing.assert_close(null.power, torch.stack(draws).mean(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(null.totals, torch.stack([draw.sum(0) for draw in draws]), rtol=1e-9, atol=0)
    control = dct2(matched_noise(x, change, machine.generator(SETTINGS.noise_seed))).square().sum(1)
    assert all((draw - control).abs().max() > 1e-4 for draw in draws)
    assert (draws[0] - draws[1]).abs().max() > 1e-4


def test_the_spread_of_the_null_is_that_of_a_further_draw_averaged_over_networks():
    totals = torch.tensor([[[1.0, 4.0], [2.0, 4.0], [4.0, 4.0]], [[2.0, 3.0], [2.0, 3.0], [9.0, 3.0]]]).double()
    scores = np.log([[1, 2, 4], [2, 2, 9]]).mean(0) / 2
    expected = torch.tensor([scores.std(ddof=1) * math.sqrt(4 / 3), 0.0], dtype=torch.float64)
    torch.testing.assert_close(null_spread(totals), expected, **EXACT)
