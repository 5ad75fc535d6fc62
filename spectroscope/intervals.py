"""Confidence intervals for means over trained networks (seeds) and images.

Both are samples: other seeds and other images of the same kind would have given another mean. Networks and images are
crossed (every network sees the same images), which is a two-way random-effects layout with one value in a cell (Searle,
Casella & McCulloch 1992, section 4.6). Its mean squares give the variance of the mean,

    Var = [max(MS_seeds - MS_error, 0) + MS_images] / (seeds * images),

and the quantile is the mean of the two t quantiles, weighted by their parts of that variance (Cochran 1964). Unlike the
percentile bootstrap over seeds, whose intervals are too short at three seeds, this one covers as often as it says from
three seeds on; tests/test_intervals.py measures it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

FEWEST_SEEDS = 3  # two networks say too little of how networks vary: their two values are reported instead


class Interval(NamedTuple):
    """A mean and its interval; `low` and `high` are NaN where there is none."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, confidence: float = 0.95, clusters: Sequence[int] | None = None) -> Interval:
    """Mean over networks and images, with its interval: (seeds, images) or (images,) -> (mean, low, high).

    NaN marks an image that does not count for a network. `clusters`: a number for each image; images of one cluster are
    not independent (patches of one photograph). One network: the interval is over images, for this network alone. Two:
    there is no interval. Where every value is 0, or every value is 1, the end is Clopper and Pearson's, with as many
    trials as there are clusters. ValueError for other shapes, a confidence outside (0, 1), or nothing to average.

    >>> mean_interval([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 0, 1]], confidence=0.9)
    Interval(mean=0.666..., low=0.28..., high=1.0)
    """
    grid, groups = _checked(values, confidence, clusters)
    mean, cells = _cell_influence(grid, groups)
    if 1 < len(grid) < FEWEST_SEEDS:
        return Interval(mean, float("nan"), float("nan"))
    half = _half_width([_image_part(cells), _seed_part([cells])], confidence)
    return Interval(mean, *_ends(mean, half, grid, cells.shape[1], confidence))


def difference_interval(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, clusters: Sequence[int] | None = None
) -> Interval:
    """Mean of `a` minus mean of `b` on the same images, with its interval: (seeds, images) twice -> (mean, low, high).

    Paired by image; the networks of `a` and of `b` are independent samples, and their numbers may differ. NaN, clusters
    and one or two networks are treated as in `mean_interval`. ValueError where the images differ in number.

    >>> difference_interval([[1, 1, 1, 0]], [[1, 0, 0, 0]])
    Interval(mean=0.5, low=-0.41..., high=1.41...)
    """
    (one, groups), (other, _) = (_checked(values, confidence, clusters) for values in (a, b))
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"expected the same images for both, got {one.shape[1]} and {other.shape[1]}")
    (mean, cells), (base, base_cells) = (_cell_influence(grid, groups) for grid in (one, other))
    if any(1 < len(grid) < FEWEST_SEEDS for grid in (one, other)):
        return Interval(mean - base, float("nan"), float("nan"))
    paired = _image_part(cells.mean(0, keepdims=True) - base_cells.mean(0, keepdims=True))
    half = _half_width([paired, _seed_part([cells, base_cells])], confidence)
    return Interval(mean - base, mean - base - half, mean - base + half)


def _checked(values: ArrayLike, confidence: float, clusters: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values as (seeds, images), and the cluster of each image as 0..C-1."""
    grid = np.atleast_2d(np.asarray(values, float))
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence:g}")
    if grid.ndim != 2 or not np.isfinite(grid).any():
        raise ValueError(f"expected values (seeds, images), some of them finite, got shape {grid.shape}")
    labels = np.arange(grid.shape[1]) if clusters is None else np.asarray(clusters)
    if labels.shape != grid.shape[1:]:
        raise ValueError(f"expected one cluster for each of {grid.shape[1]} images, got {labels.shape}")
    groups = np.unique(labels, return_inverse=True)[1]
    if groups.max() == 0:
        raise ValueError("expected at least two images (or clusters), got one")
    return grid, groups


def _cell_influence(grid: np.ndarray, groups: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of all values, and how each network's images of a cluster move it: (seeds, clusters), mean as its mean.

    With every value there and one image a cluster these are the values themselves. Else the mean is a ratio of sums
    (of values and of counts), and a cell holds its linear approximation (Cochran 1977, section 6.3).
    """
    counted = np.isfinite(grid)
    mean = float(grid[counted].mean())
    deviation = np.where(counted, np.where(counted, grid, 0.0) - mean, 0.0) / counted.mean()
    n_clusters = int(groups.max()) + 1
    by_cluster = np.zeros((len(grid), n_clusters))
    np.add.at(by_cluster, (slice(None), groups), deviation)
    return mean, mean + by_cluster * (n_clusters / grid.shape[1])


class _Part(NamedTuple):
    """A part of the variance of a mean, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float


def _image_part(cells: np.ndarray) -> _Part:
    """MS_images / (seeds * images): the variance of the means of the images, over their number."""
    n = cells.shape[1]
    return _Part(float(cells.mean(0).var(ddof=1)) / n, n - 1)


def _seed_part(runs: list[np.ndarray]) -> _Part:
    """max(MS_seeds - MS_error, 0) / (seeds * images), summed over runs (1 or 2) with Welch's degrees of freedom.

    Zero for a run of one network, which stands for itself.
    """
    variances, freedoms = [], []
    for cells in runs:
        seeds, n = cells.shape
        if seeds > 1:
            residual = cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean()
            error = (residual**2).sum() / ((seeds - 1) * (n - 1))
            variances.append(max(float(cells.mean(1).var(ddof=1)) * n - error, 0.0) / (seeds * n))
            freedoms.append(seeds - 1)
    total = sum(variances)
    if total == 0:
        return _Part(0.0, 1)
    squares = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return _Part(total, total**2 / squares)


def _half_width(parts: list[_Part], confidence: float) -> float:
    """Half the width of the interval: Cochran's weighted t quantile times the standard error."""
    total = sum(part.variance for part in parts)
    if total == 0:
        return 0.0
    quantile = sum(part.variance * stats.t.ppf((1 + confidence) / 2, part.freedom) for part in parts) / total
    return float(quantile * np.sqrt(total))


def _ends(mean: float, half: float, grid: np.ndarray, n_clusters: int, confidence: float) -> tuple[float, float]:
    """Both ends; those of a share stay in [0, 1], and at a share of 0 or 1 the open end is exact."""
    values = grid[np.isfinite(grid)]
    if not np.isin(values, (0, 1)).all():
        return mean - half, mean + half
    if mean in (0, 1):
        exact = stats.binomtest(round(mean * n_clusters), n_clusters).proportion_ci(confidence, "exact")
        return float(exact.low), float(exact.high)
    return max(mean - half, 0.0), min(mean + half, 1.0)
