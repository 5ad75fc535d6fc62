"""Tables of perturbations: their numbers, counts and intervals, for the attack, its control, classes and halves."""

import numpy as np
import pandas as pd
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
    nulls_of,
    outcomes_of,
    spectra_of,
    uniform,
    white,
)
from scipy.special import logit

from spectroscope.frequency.partitions import by_band, mean_by_band
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.perturbation import tables
from spectroscope.perturbation.rct import ESTIMATORS, rct_map
from spectroscope.perturbation.spectra import power
from spectroscope.pipeline.io import Images
from spectroscope.statistics.estimates import SUMMARY, jackknife, summary


def power_by_shell(change: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return tables.power_share(power(change), index)


def maps_and_profile(x: torch.Tensor, change: torch.Tensor, seeds: int, settings=SETTINGS):
    networks = spectra_of(x, change, seeds, settings)
    maps = tables.relative_changes(networks)
    return maps, tables.profile_table(maps, networks, STATISTICS)


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


def test_a_profile_is_that_of_each_network_averaged_with_an_interval_around_it():
    x = natural(30).repeat(3, 1, 1, 1)
    change = white(x) * torch.tensor([1.0, 2.0, 3.0], dtype=x.dtype).repeat_interleave(30)[:, None, None, None]
    _, rows = maps_and_profile(x, change, 3, SETTINGS.model_copy(update={"shapes": ["linf", "radial"]}))
    assert list(rows) == ["shape", "statistic", "shell", *SUMMARY]
    assert rows["statistic"].unique().tolist() == ["power", *ESTIMATORS]
    assert (rows["n_images"] == 30).all()
    assert (rows["n_seeds"] == 3).all()
    parts = list(zip(x.split(30), change.split(30), strict=True))
    for shape in ("linf", "radial"):
        index = shells(16, 16, shape)
        of_shape = rows[rows["shape"] == shape]
        mean = of_shape.pivot(index="statistic", columns="shell", values="mean")
        power = [power_by_shell(own, index).mean(0) for _, own in parts]
        np.testing.assert_allclose(mean.loc["power"], np.mean(power, axis=0), rtol=1e-10)
        for estimator in ESTIMATORS:
            curves = [mean_by_band(rct_map(clean, clean + own, estimator), index) for clean, own in parts]
            np.testing.assert_allclose(mean.loc[estimator], np.mean(curves, axis=0), rtol=1e-10)
            networks = of_shape[of_shape["statistic"] == estimator]["networks"]
            np.testing.assert_allclose([float(values.split()[1]) for values in networks], curves[1], rtol=1e-3)
    assert (rows["low"] < rows["mean"]).all() and (rows["mean"] < rows["high"]).all()


def test_the_map_of_every_coefficient_has_the_interval_of_its_pseudo_values():
    x = natural(20).repeat(3, 1, 1, 1)
    change = white(x)
    maps, _ = maps_and_profile(x, change, 3)
    rows = tables.map_table(maps, spectra_of(x, change, 3), STATISTICS)
    assert list(rows) == ["estimator", "u", "v", *SUMMARY]
    groups = np.arange(20) % 10
    for estimator in ESTIMATORS:

        def at_one_coefficient(images: np.ndarray, _: np.ndarray, estimator=estimator) -> np.ndarray:
            clean, own = torch.from_numpy(images).unbind(1)
            return rct_map(clean, clean + own, estimator)[3, 5][None].numpy()

        values = torch.stack([x, change], 1).unflatten(0, (3, 20)).numpy()
        by_hand = summary(jackknife(values, at_one_coefficient, groups, (0, np.inf)), STATISTICS)
        cell = rows.query("estimator == @estimator and u == 3 and v == 5")
        for column in ("mean", "low", "high"):
            assert cell[column].item() == pytest.approx(by_hand[column].item(), rel=1e-9)


def test_perturbations_that_are_all_alike_have_no_interval_but_that_of_rounding():
    x = natural(1).expand(9, -1, -1, -1)
    _, rows = maps_and_profile(x, 0.1 * x, 3)
    there = rows.dropna(subset=["low"])
    np.testing.assert_allclose(there["low"], there["mean"], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(there["high"], there["mean"], rtol=1e-10, atol=1e-12)
    assert len(there) < len(rows)


def test_copies_of_images_in_one_cluster_change_no_interval():
    def intervals(copies: int, clusters: torch.Tensor) -> np.ndarray:
        x, change = (images.repeat(copies, 1, 1, 1) for images in (natural(12), white(natural(12))))
        test = Images(x, torch.arange(12).repeat(copies) % 2, ("a", "b"), clusters)
        measured = tables.measure(test, change, outcomes_of(crossed_units(1, len(x))), SETTINGS, STATISTICS)
        rows = measured["perturbation"].query("source == 'attack'")
        power = (
            rows["statistic"] == "power"
        )  # intervals are symmetric on the logit scale, those of the others on the log's
        ends = rows[["mean", "low", "high"]]
        return ends.where(~power, logit(ends)).where(power, np.log(ends)).to_numpy()

    once = intervals(1, torch.arange(12))
    twice, as_if_new = intervals(2, torch.arange(12).repeat(2)), intervals(2, torch.arange(24))
    np.testing.assert_allclose(twice, once, rtol=1e-9, atol=1e-12)
    width, too_narrow = (rows[:, 2] - rows[:, 1] for rows in (once, as_if_new))
    assert np.median(too_narrow / width) == pytest.approx(0.5**0.5, abs=0.1)


# Classes, and all tables of an attack


def test_a_class_is_measured_on_its_own_images():
    x = natural(20)
    change = white(x)
    test = Images(x, torch.arange(20) % 3 * 2, tuple("abcde"))  # classes 0, 2, 4
    (null,), networks = nulls_of(x, change), spectra_of(x, change)
    rows = tables.class_table(networks, [null], test, STATISTICS)
    assert list(rows) == ["class", "statistic", "shell", *SUMMARY]
    assert rows["class"].unique().tolist() == ["a", "c", "e"]
    own, index = test.labels == 2, shells(16, 16)
    part = rows[rows["class"] == "c"].pivot(index="statistic", columns="shell", values="mean")
    for estimator in tables.LINEAR:
        expected = mean_by_band(rct_map(x[own], (x + change)[own], estimator), index)
        np.testing.assert_allclose(part.loc[estimator], expected, rtol=1e-9)
    attack, noise = (by_band(values[own].sum(0), index) for values in (dct2(change).square().sum(1), null.power))
    np.testing.assert_allclose(part.loc["score"], (attack / noise).log() / 2, rtol=1e-9, atol=1e-12)
    assert rows.loc[rows["class"] == "c", "n_images"].unique().tolist() == [7]
    assert (rows["low"] < rows["mean"]).all() and (rows["mean"] < rows["high"]).all()


def test_a_class_of_one_cluster_has_values_without_an_interval():
    x = natural(8)
    test = Images(x, torch.arange(8) % 2, ("a", "b"), torch.tensor([7, 1, 7, 2, 7, 3, 7, 4]))
    change = white(x)
    rows = tables.class_table(spectra_of(x, change), nulls_of(x, change), test, STATISTICS).groupby("class")
    assert np.isfinite(rows.get_group("a")["mean"]).all() and rows.get_group("a")[["low", "high"]].isna().all().all()
    assert np.isfinite(rows.get_group("b")[["mean", "low", "high"]]).all().all()


def test_the_attack_and_its_control_are_measured_alike():
    x, units = natural(6), crossed_units(3, 6)
    change = banded(natural(18), shells(16, 16) < 4)
    test = Images(x, torch.arange(6) % 2, ("a", "b"))
    measured = tables.measure(test, change, outcomes_of(units), SETTINGS, STATISTICS)
    assert list(measured) == list(tables.TABLES)
    for name, table in measured.items():
        sources = ["attack"] if name in ("classes", "split_half") else ["attack", "control"]
        assert table["source"].unique().tolist() == sources, name
        assert table.columns[0] == "source"
        assert [name for name in table if name != "cells"][-6:] == SUMMARY
        assert (table["n_images"] == (3 if name == "classes" else 6)).all() and (table["n_seeds"] == 3).all()
    expected = torch.stack([rct_map(x, x + own, "ratio_of_means") for own in change.split(6)]).mean(0)
    rows = measured["maps"].query("source == 'attack' and estimator == 'ratio_of_means'")
    np.testing.assert_allclose(rows.pivot(index="u", columns="v", values="mean"), expected, rtol=1e-10)
    low = measured["calibrated"].query("shell < 4").groupby("source")["mean"].mean()
    assert low["attack"] > 1 > 0.3 > abs(low["control"])


def test_no_network_has_the_noise_of_another():
    x = natural(4)
    test, change = Images(x, torch.arange(4) % 2, ("a", "b")), white(x).repeat(2, 1, 1, 1)
    measured = tables.measure(test, change, outcomes_of(crossed_units(2, 4)), SETTINGS, STATISTICS)
    for table, alike in (("calibrated", 0.0), ("perturbation", 1.0)):  # the null is in the score alone
        rows = measured[table].set_index("source")["networks"].str.split(expand=True)
        same = (rows[0] == rows[1]).groupby("source").mean()
        assert same["attack"] == pytest.approx(alike, abs=0.1) and same["control"] < 0.1, table


def test_only_successes_among_the_first_images_are_measured():
    x = natural(6)
    test = Images(x, torch.zeros(6, dtype=torch.int64), ("a",))
    change = white(x.repeat(2, 1, 1, 1))
    outcomes = outcomes_of(crossed_units(2, 6))
    outcomes["success"] = [True, False, True, False, True, True, False, False, True, False, True, True]
    few = SETTINGS.model_copy(update={"n_images": 4})
    phase = tables.measure(test, change, outcomes, few, STATISTICS)["phase"]
    assert (phase["n_images"] == 2).all() and (phase["n_seeds"] == 2).all()  # images 0 and 2; 2 fools both
    assert phase[["low", "high"]].isna().all().all()  # of two networks there are values alone
    assert tables.measure(test, change, outcomes.assign(success=False), few, STATISTICS) == {}


def test_a_network_that_was_never_fooled_does_not_count():
    x = natural(12)
    test = Images(x, torch.arange(12) % 2, ("a", "b"))
    change, outcomes = white(x.repeat(4, 1, 1, 1)), outcomes_of(crossed_units(4, 12))
    outcomes["success"] = outcomes["seed"] != 30
    four = tables.measure(test, change, outcomes, SETTINGS, STATISTICS)
    three = tables.measure(test, change[:36], outcomes[:36], SETTINGS, STATISTICS)
    for name, table in four.items():
        assert (table["n_seeds"] == 3).all()
        one, other = (each.drop(columns="cells", errors="ignore") for each in (table, three[name]))
        pd.testing.assert_frame_equal(one, other)


def test_the_scores_of_every_row_know_their_groups_also_where_one_cluster_was_fooled():
    x = natural(6)
    change, outcomes = white(x.repeat(3, 1, 1, 1)), outcomes_of(crossed_units(3, 6))
    for clusters, n_groups in ((torch.zeros(6, dtype=torch.int64), 1), (torch.arange(6), 6)):
        test = Images(x, torch.arange(6) % 2, ("a", "b"), clusters)
        behind = tables.measure(test, change, outcomes, SETTINGS, STATISTICS)["calibrated"]["cells"]
        assert {(each.cells.shape[1], len(set(each.groups))) for each in behind} == {(n_groups, n_groups)}
        assert {each.groups.dtype for each in behind} == {np.dtype("int64")}
