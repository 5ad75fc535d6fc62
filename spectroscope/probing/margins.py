"""Tables of margins inside bands (`subspaces`): medians over the networks and images of a run."""

import numpy as np
import pandas as pd

from spectroscope.bootstrap import StatisticsSettings, interval


def rows(values: np.ndarray, statistics: StatisticsSettings) -> pd.DataFrame:
    """Median margin of each band: band, unreached, mean, low, high, n_images, n_seeds; values (seeds, images, bands).

    The bootstrap draws seeds and images, crossed. `mean` is the median; it does not exist (NaN) where half of the
    margins are infinite. unreached: the share of infinite ones. n_images: images that some seed had right.
    """
    rng = np.random.default_rng([statistics.seed, 5])
    seeds, images, bands = values.shape
    drawn = []
    for _ in range(statistics.resamples):
        picked = values[rng.integers(0, seeds, seeds)][:, rng.integers(0, images, images)]
        drawn.append(_median(picked))
    low, high = interval(np.stack(drawn), statistics)
    right = ~np.isnan(values).any(2)
    unreached = np.isinf(values[right]).sum(0) / max(int(right.sum()), 1)
    table = {"band": range(bands), "unreached": unreached, "mean": _median(values), "low": low, "high": high}
    return pd.DataFrame(table).assign(n_images=int(right.any(0).sum()), n_seeds=seeds)


def _median(values: np.ndarray) -> np.ndarray:
    """Over seeds and images, NaN left out; NaN too where it is infinite: (seeds, images, bands) -> (bands,)."""
    flat = values.reshape(-1, values.shape[2])
    flat = flat[~np.isnan(flat).any(1)]
    if not len(flat):
        return np.full(values.shape[2], np.nan)
    ordered = np.sort(flat, axis=0)
    middle = (ordered[(len(flat) - 1) // 2] + ordered[len(flat) // 2]) / 2
    return np.where(np.isfinite(middle), middle, np.nan)
