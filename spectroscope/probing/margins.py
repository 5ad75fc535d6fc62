"""Margins of networks inside bands: the perturbation that changes the class with the frequencies of one band alone."""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor, nn

from spectroscope.attribution.margins import MarginSearchSettings, margins
from spectroscope.frequency.partitions import Partition, partition
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings


class MarginSettings(MarginSearchSettings):
    """Margins of the first `n_images` test images, inside the bands of a partition of the DCT."""

    n_images: Annotated[int, Field(ge=1)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None


def band_margins(model: nn.Module, images: Tensor, labels: Tensor, settings: MarginSettings) -> Tensor:
    """l2 norm of the smallest perturbation found inside each band: (N, C, H, W), (N,) -> (n_images, bands).

    NaN in the row of an image that is misclassified already, infinity where none was found.
    """
    height, width = images.shape[-2:]
    index = partition(height, width, settings.partition, settings.bands, "dct")
    return margins(model, images[: settings.n_images], labels[: settings.n_images], index, settings)


def margin_table(values: np.ndarray, statistics: StatisticsSettings) -> pd.DataFrame:
    """Median margin of each band: band, unreached, mean, low, high, n_images, n_seeds; values (seeds, images, bands).

    The bootstrap draws seeds and images, crossed. `mean` is the median, missing (NaN) where half of the margins are
    infinite. unreached: share of infinite margins. n_images: images that at least one seed classified right.
    """
    rng = bootstrap.stream(statistics, "margins")
    seeds, images, bands = values.shape
    draws = []
    for _ in range(statistics.resamples):
        draws.append(_median(values[rng.integers(0, seeds, seeds)][:, rng.integers(0, images, images)]))
    right = ~np.isnan(values).any(2)
    unreached = np.isinf(values[right]).sum(0) / max(int(right.sum()), 1)
    shape = (seeds, int(right.any(0).sum()))
    figures = bootstrap.summary(_median(values), np.stack(draws), shape, statistics)
    return pd.DataFrame({"band": range(bands), "unreached": unreached, **figures})


def _median(values: np.ndarray) -> np.ndarray:
    """Median over seeds and images without NaN rows, NaN where it is infinite: (seeds, images, bands) -> (bands,)."""
    rows = values.reshape(-1, values.shape[2])
    rows = rows[~np.isnan(rows).any(1)]
    if not len(rows):
        return np.full(values.shape[2], np.nan)
    ordered = np.sort(rows, axis=0)
    middle = (ordered[(len(rows) - 1) // 2] + ordered[len(rows) // 2]) / 2
    return np.where(np.isfinite(middle), middle, np.nan)
