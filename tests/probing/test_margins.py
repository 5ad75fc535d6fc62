"""Margins of the bands of a partition, and their medians where some are missing or infinite."""

import numpy as np
import pytest
import torch
from torch import nn

from spectroscope.probing.margins import MarginSettings, band_margins, margin_table
from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings

STATISTICS = StatisticsSettings(confidence=0.95, groups=20)


@pytest.mark.parametrize("partition", ["linf", "equal_energy"])
def test_the_first_images_have_a_margin_in_each_band_of_the_partition(partition):
    settings = MarginSettings(n_images=4, partition=partition, bands=5, steps=3, candidates=2)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = network(x).argmax(1)
    labels[1] = (labels[1] + 1) % 3
    margins = band_margins(network, x, labels, settings)
    assert margins.shape == (4, 5)
    assert margins.isnan().all(1).tolist() == [False, True, False, False]


def table_of(values: np.ndarray):
    n = values.shape[1]
    return margin_table(values, np.arange(n) % 2, np.arange(n), STATISTICS)


def test_the_margin_of_a_band_is_the_mean_of_the_networks_medians_with_its_interval():
    values = np.random.default_rng(0).uniform(1, 2, (3, 21, 2))
    values[:, 4] = np.nan
    values[0, 5] = np.nan
    values[..., 1] += 10
    table = table_of(values)
    assert list(table) == ["band", "unreached", *SUMMARY, "cells"]
    np.testing.assert_allclose(table["mean"], np.nanmedian(values, axis=1).mean(0))
    assert (table["low"] < table["mean"]).all() and (table["mean"] < table["high"]).all()
    assert table["n_images"].tolist() == [20, 20] and (table["n_seeds"] == 3).all()
    assert (table["unreached"] == 0).all()


def test_half_of_the_margins_of_a_network_out_of_reach_are_an_infinite_median():
    values = np.random.default_rng(0).uniform(1, 2, (3, 16, 3))
    values[0, :9, 0] = np.inf  # one of three networks
    values[0, :7, 1] = np.inf  # the median is finite, but not without a group of images
    table = table_of(values)
    assert np.isinf(table["mean"]).tolist() == [True, False, False]
    assert table["low"].isna().tolist() == table["high"].isna().tolist() == [True, True, False]
    assert table["unreached"].tolist() == pytest.approx([9 / 48, 7 / 48, 0])
    assert (table["n_seeds"] == 3).all() and table["networks"][0].startswith("inf ")


def test_networks_that_are_never_right_have_no_margin():
    table = table_of(np.full((3, 16, 2), np.nan))
    assert table["mean"].isna().all() and (table["n_images"] == 0).all() and (table["n_seeds"] == 0).all()


def test_the_95_percent_interval_of_a_median_holds_it_in_nine_cases_of_ten():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        table = table_of(rng.exponential(size=(1, 64, 1)))
        hits += bool(table["low"][0] <= np.log(2) <= table["high"][0])
    assert 0.86 < hits / 400 < 0.94
