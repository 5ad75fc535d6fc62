"""The gap between the maps of two halves: small for stable estimators, by hand, and missing for a single image."""

import numpy as np
import pytest
import torch
from perturbations import SETTINGS, STATISTICS, generator, natural, nulls_of, spectra_of, white

from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.rct import ESTIMATORS, rct_map
from spectroscope.perturbation.split_half import split_half_gaps
from spectroscope.perturbation.tables import split_half_table
from spectroscope.pipeline import machine

NAMES = [*ESTIMATORS, "score"]


def sample(x: torch.Tensor, change: torch.Tensor, seeds: int = 1, settings=SETTINGS):
    return spectra_of(x, change, seeds, settings), nulls_of(x, change, seeds, settings)


def test_the_papers_estimator_disagrees_with_itself_and_the_others_do_not():
    x = natural(2500)
    found = sample(x, 0.03 * torch.randn(x.shape, generator=generator(1), dtype=x.dtype))
    gaps = split_half_gaps(*found, np.arange(2500))
    assert gaps.shape == (1, SETTINGS.splits, len(NAMES))
    mean = dict(zip(NAMES, gaps.mean((0, 1)), strict=True))
    assert mean["mean_of_ratios"] > 0.15
    assert max(mean[name] for name in ("median_of_ratios", "ratio_of_means", "score")) < 0.05


def test_the_gap_of_halves_is_that_of_their_maps_and_networks_have_the_same_halves():
    x = natural(8).repeat(3, 1, 1, 1)
    change, clusters = white(x), np.array([5, 5, 6, 6, 7, 7, 9, 9])
    networks, nulls = sample(x, change, 3)
    gaps = split_half_gaps(networks, nulls, clusters)
    order = torch.randperm(4, generator=machine.generator(SETTINGS.noise_seed, 2)).numpy()
    first = np.isin(clusters, np.array([5, 6, 7, 9])[order[:2]])  # whole clusters
    for network, rows in enumerate((slice(0, 8), slice(8, 16), slice(16, 24))):
        clean, own = x[rows], change[rows]
        for place, estimator in enumerate(ESTIMATORS):
            a, b = (rct_map(clean[half], (clean + own)[half], estimator) for half in (first, ~first))
            assert gaps[network, 0, place] == pytest.approx(((a - b).abs() / ((a + b) / 2)).median().item())
        power, noise = dct2(own).square().sum(1), nulls[network].power
        a, b = ((power[half].sum(0) / noise[half].sum(0)).log() / 2 for half in (first, ~first))
        assert gaps[network, 0, -1] == pytest.approx((a - b).abs().median().item())


def test_the_table_has_the_mean_gap_of_the_networks_and_the_range_of_the_splits():
    x = natural(8).repeat(3, 1, 1, 1)
    found = sample(x, white(x), 3)
    gaps = split_half_gaps(*found, np.arange(8))
    table = split_half_table(*found, np.arange(8), STATISTICS)
    assert table["estimator"].tolist() == NAMES
    np.testing.assert_allclose(table["mean"], gaps.mean((0, 1)))
    np.testing.assert_allclose(table["low"], gaps.mean(0).min(0))
    np.testing.assert_allclose(table["high"], gaps.mean(0).max(0))
    assert (table["n_seeds"] == 3).all() and (table["n_images"] == 8).all()
    assert len(table["networks"][0].split()) == 3


def test_one_image_has_no_halves():
    x = natural(1)
    found = sample(x, white(x))
    assert np.isnan(split_half_gaps(*found, np.arange(1))).all()
    table = split_half_table(*found, np.arange(1), STATISTICS)
    assert np.isnan(table[["mean", "low", "high"]].to_numpy()).all() and (table["n_seeds"] == 0).all()


def test_a_network_that_a_half_lacks_does_not_count():
    x = natural(8)
    networks, nulls = sample(x, white(x))
    few, its_null = sample(x[:1], white(x[:1]))
    table = split_half_table([*networks, *few], [*nulls, *its_null], np.arange(8), STATISTICS)
    alone = split_half_table(networks, nulls, np.arange(8), STATISTICS)
    np.testing.assert_array_equal(table[["mean", "low", "high"]], alone[["mean", "low", "high"]])
    assert (table["n_seeds"] == 1).all()
