"""Tables of perturbations: their numbers, counts and intervals, for the attack, its control, classes and halves."""

import numpy as np
import pytest
import torch
from perturbations import (
    EXACT,
    SETTINGS,
    STATISTICS,
    banded,
    crossed_units,
    generator,
    natural,
    outcomes_of,
    spectra_of,
    uniform,
    white,
)

from spectroscope.frequency.partitions import by_band, mean_by_band
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.perturbation import tables
from spectroscope.perturbation.null import noise_null
from spectroscope.perturbation.rct import ESTIMATORS, rct_map, relative_change
from spectroscope.perturbation.spectra import power
from spectroscope.pipeline.io import Images


def power_by_shell(change: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return tables.power_share(power(change), index)


def maps_and_profile(x: torch.Tensor, change: torch.Tensor, seeds: int, settings=SETTINGS):
    spectra = spectra_of(x, change, seeds, settings)
    maps = {name: relative_change(spectra, name, spectra.weights) for name in ESTIMATORS}
    return maps, tables.profile_table(maps, spectra)


# Shares of power


@pytest.mark.parametrize("shape", ["linf", "radial", "diagonal"])
def test_shares_of_power_sum_to_one(shape):
    shares = power_by_shell(uniform(5, 3, 9, 12) - 0.5, shells(9, 12, shape))
    torch.testing.assert_close(shares.sum(1), torch.ones(5, dtype=torch.float64), **EXACT)


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
    shares = power_by_shell(idct2(spectrum), shells(4, 4))
    torch.testing.assert_close(shares, torch.tensor([[1.0, 0.0, 4.0, 9.0]], dtype=torch.float64) / 14, **EXACT)


def test_a_perturbation_that_is_zero_has_no_shares():
    shares = power_by_shell(torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)]), shells(4, 4))
    assert shares[0].isnan().all()
    torch.testing.assert_close(shares[1], torch.tensor([1.0, 0, 0, 0]), rtol=0, atol=1e-6)


def test_white_noise_has_power_in_proportion_to_the_size_of_a_shell():
    index = shells(16, 16)
    noise = torch.randn(500, 1, 16, 16, generator=generator(), dtype=torch.float64)
    expected = torch.bincount(index.flatten()).double() / 256
    torch.testing.assert_close(power_by_shell(noise, index).mean(0), expected, rtol=0.1, atol=0)


# Maps and profiles


def test_a_profile_has_its_numbers_n_and_intervals_around_the_point():
    x = natural(30).repeat(3, 1, 1, 1)
    change = white(x)
    _, rows = maps_and_profile(x, change, 3, SETTINGS.model_copy(update={"shapes": ["linf", "radial"]}))
    assert list(rows) == ["shape", "statistic", "shell", "mean", "low", "high", "n_images", "n_seeds"]
    assert rows["statistic"].unique().tolist() == ["power", *ESTIMATORS]
    assert (rows["n_images"] == 90).all()
    assert (rows["n_seeds"] == 3).all()
    for shape in ("linf", "radial"):
        index = shells(16, 16, shape)
        mean = rows[rows["shape"] == shape].pivot(index="statistic", columns="shell", values="mean")
        np.testing.assert_allclose(mean.loc["power"], power_by_shell(change, index).mean(0), rtol=1e-10)
        for estimator in ESTIMATORS:
            expected = mean_by_band(rct_map(x, x + change, estimator), index)
            np.testing.assert_allclose(mean.loc[estimator], expected, rtol=1e-10)
    inside = rows[rows["statistic"] != "mean_of_ratios"]  # its draws have no mean to lie around
    assert ((inside["low"] <= inside["mean"]) & (inside["mean"] <= inside["high"])).mean() > 0.95
    assert (inside["low"] < inside["high"]).all()


def test_the_map_of_every_coefficient_has_its_interval():
    x = natural(20).repeat(2, 1, 1, 1)
    change = white(x)
    spectra = spectra_of(x, change, 2)
    maps, _ = maps_and_profile(x, change, 2)
    rows = tables.map_table(maps, spectra)
    assert list(rows) == ["estimator", "u", "v", "mean", "low", "high", "n_images", "n_seeds"]
    for estimator in ESTIMATORS:
        part = rows[rows["estimator"] == estimator]
        whole = part.pivot(index="u", columns="v", values="mean")
        np.testing.assert_allclose(whole, rct_map(x, x + change, estimator), rtol=1e-10)
        by_hand = [
            rct_map(x[rows], (x + change)[rows], estimator)[3, 5].item()
            for rows in (np.repeat(np.arange(40), counts) for counts in spectra.weights[1:])
        ]
        cell = part[(part["u"] == 3) & (part["v"] == 5)]
        np.testing.assert_allclose(cell[["low", "high"]].to_numpy()[0], np.quantile(by_hand, [0.025, 0.975]), rtol=1e-9)


def test_the_interval_of_perturbations_that_are_all_alike_is_a_point():
    x = natural(1).expand(6, -1, -1, -1)
    _, rows = maps_and_profile(x, 0.1 * x, 2)
    np.testing.assert_allclose(rows["low"], rows["mean"], rtol=1e-10)
    np.testing.assert_allclose(rows["high"], rows["mean"], rtol=1e-10)


# Classes, and all tables of an attack


def test_a_class_is_measured_on_its_own_images():
    x = natural(20)
    labels, change = torch.arange(20) % 3 * 2, white(x)  # classes 0, 2, 4
    null, spectra = noise_null(x, change, SETTINGS), spectra_of(x, change, 2)
    rows = tables.class_table(spectra, null, labels, tuple("abcde"))
    assert rows["class"].unique().tolist() == ["a", "c", "e"]
    own, index = labels == 2, shells(16, 16)
    part = rows[rows["class"] == "c"].pivot(index="statistic", columns="shell", values="mean")
    for estimator in tables.LINEAR:
        expected = mean_by_band(rct_map(x[own], (x + change)[own], estimator), index)
        np.testing.assert_allclose(part.loc[estimator], expected, rtol=1e-9)
    attack, noise = (by_band(values[own].sum(0), index) for values in (dct2(change).square().sum(1), null.power))
    np.testing.assert_allclose(part.loc["score"], (attack / noise).log() / 2, rtol=1e-9, atol=1e-12)
    assert rows.loc[rows["class"] == "c", "n_images"].unique().tolist() == [7]


def test_the_attack_and_its_control_are_measured_alike():
    x, units = natural(6), crossed_units(2, 6)
    change = banded(natural(12), shells(16, 16) < 4)
    test = Images(x, torch.arange(6) % 2, ("a", "b"))
    measured = tables.measure(test, change, outcomes_of(units), SETTINGS, STATISTICS)
    assert list(measured) == list(tables.TABLES)
    for name, table in measured.items():
        sources = ["attack"] if name in ("classes", "split_half") else ["attack", "control"]
        assert table["source"].unique().tolist() == sources, name
        assert table.columns[0] == "source"
        assert list(table)[-5:] == ["mean", "low", "high", "n_images", "n_seeds"]
    pairs = x.repeat(2, 1, 1, 1)
    expected = rct_map(pairs, pairs + change, "ratio_of_means")
    rows = measured["maps"].query("source == 'attack' and estimator == 'ratio_of_means'")
    np.testing.assert_allclose(rows.pivot(index="u", columns="v", values="mean"), expected, rtol=1e-10)
    low = measured["calibrated"].query("shell < 4").groupby("source")["mean"].mean()
    assert low["attack"] > 1 > 0.3 > abs(low["control"])


def test_only_successes_among_the_first_images_are_measured():
    x = natural(6)
    test = Images(x, torch.zeros(6, dtype=torch.int64), ("a",))
    change = white(x.repeat(2, 1, 1, 1))
    outcomes = outcomes_of(crossed_units(2, 6))
    outcomes["success"] = [True, False, True, True, True, True, False, False, True, True, True, True]
    few = SETTINGS.model_copy(update={"n_images": 4})
    phase = tables.measure(test, change, outcomes, few, STATISTICS)["phase"]
    assert (phase["n_images"] == 5).all() and (phase["n_seeds"] == 2).all()
    assert tables.measure(test, change, outcomes.assign(success=False), few, STATISTICS) == {}
