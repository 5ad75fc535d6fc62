"""Means by shell over the networks and images of a run, and their rows in a table."""

import numpy as np
import pandas as pd
from torch import Tensor

from spectroscope.frequency.partitions import mean_by_band
from spectroscope.frequency.spectrum import shells
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings


def shell_means(maps: Tensor) -> Tensor:
    """Mean over the DCT coefficients of each l-inf shell: (N, H, W) -> (N, shells)."""
    return mean_by_band(maps, shells(maps.shape[-2], maps.shape[-1]))


def replicates(values: np.ndarray, statistics: StatisticsSettings) -> np.ndarray:
    """Mean over seeds and images, then that of each bootstrap draw: (seeds, images, K) -> (1 + resamples, K)."""
    point, drawn, _ = bootstrap.means(values, statistics, 0)
    return np.concatenate([point[None], drawn])


def shell_table(
    column: str, means: dict[str, np.ndarray], counts: dict[str, int], n_seeds: int, statistics: StatisticsSettings
) -> pd.DataFrame:
    """`column`, shell, mean, low, high, n_images, n_seeds of replicates (1 + resamples, shells) by name.

    The names of `means` are the values of `column`; counts: n_images of each.
    """
    tables = []
    for name, values in means.items():
        figures = bootstrap.summary(values[0], values[1:], (n_seeds, counts[name]), statistics)
        tables.append(pd.DataFrame({column: name, "shell": range(values.shape[1]), **figures}))
    return pd.concat(tables, ignore_index=True)
