"""Margins of the bands of a partition, and their medians where some are missing or infinite."""

import numpy as np
import pytest
import torch
from torch import nn

from spectroscope.probing.margins import MarginSettings, band_margins, margin_table
from spectroscope.statistics.bootstrap import StatisticsSettings

STATISTICS = StatisticsSettings(confidence=0.95, resamples=200, seed=0)


def test_the_first_images_have_a_margin_in_each_band_of_the_partition():
    settings = MarginSettings(n_images=4, partition="linf", bands=5, steps=3, candidates=2)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = network(x).argmax(1)
    labels[1] = (labels[1] + 1) % 3
    margins = band_margins(network, x, labels, settings)
    assert margins.shape == (4, 5)
    assert margins.isnan().all(1).tolist() == [False, True, False, False]


def test_the_margin_of_a_band_is_the_median_over_seeds_and_images_with_its_interval():
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 2, (3, 21, 2))
    values[:, 4] = np.nan
    values[0, 5] = np.nan
    values[..., 1] += 10
    table = margin_table(values, STATISTICS)
    assert list(table) == ["band", "unreached", "mean", "low", "high", "n_images", "n_seeds"]
    np.testing.assert_allclose(table["mean"], np.nanmedian(values, axis=(0, 1)))
    assert (table["low"] < table["mean"]).all() and (table["mean"] < table["high"]).all()
    assert table["n_images"].tolist() == [20, 20] and (table["n_seeds"] == 3).all()
    assert (table["unreached"] == 0).all()
    values[:, :15, 1] = np.inf
    table = margin_table(values, STATISTICS)
    assert table["mean"].isna().tolist() == [False, True]
    assert table["unreached"][1] == pytest.approx((15 * 3 - 4) / 59)  # without the four that are wrong
