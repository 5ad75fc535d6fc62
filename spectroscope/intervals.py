"""Confidence intervals over trained networks (seeds) and images.

Both are samples: other seeds and other images of the same kind would have given another result. Networks and images
are crossed (every network sees the same images), a two-way random-effects layout with one value in a cell (Searle,
Casella & McCulloch 1992, section 4.6). Its mean squares give the variance of a mean,

    Var = [max(MS_seeds - MS_error, 0) + MS_images] / (seeds * images),

and the quantile is the mean of the two t quantiles, weighted by their parts of that variance (Cochran 1964). Unlike a
percentile bootstrap over seeds, whose intervals are too short at three seeds, these cover about as often as they say
from three seeds on: tests/test_intervals.py measures it. Statistics that are no means (centroids, shares) are treated
alike through their delete-one-group pseudo-values (Tukey 1958), computed for each network.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

FEWEST_SEEDS = 3  # two networks say too little of how networks vary: their two values are reported instead


class Interval(NamedTuple):
    """An estimate and its interval; `low` and `high` are NaN where there is none."""

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
    mean, cells = _mean_and_cells(grid, groups)
    low, high = ends(np.array([mean]), cells[:, :, None], confidence)
    shares = np.isin(grid[np.isfinite(grid)], (0, 1)).all()
    if shares and np.isfinite(low[0]):
        return Interval(mean, *_share_ends(mean, float(low[0]), float(high[0]), cells.shape[1], confidence))
    return Interval(mean, float(low[0]), float(high[0]))


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
    (mean, cells), (base, base_cells) = (_mean_and_cells(grid, groups) for grid in (one, other))
    low, high = ends(np.array([mean - base]), cells[:, :, None], confidence, less=base_cells[:, :, None])
    return Interval(mean - base, float(low[0]), float(high[0]))


def pseudo_values(
    values: np.ndarray, statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of each network, and its pseudo-values by group of images: (S, I, ...) -> (S, K), (S, G, K).

    `statistic` takes the values of one network (I', ...) and the places of its images (I',), and gives (K,) numbers;
    `groups` (I,) is the group 0..G-1 of each image. A pseudo-value is G times the statistic of all images minus (G - 1)
    times that without the group. For the mean of equal groups these are the means of the groups.
    """
    count, everything = int(groups.max()) + 1, np.arange(values.shape[1])
    whole = np.stack([statistic(network, everything) for network in values])
    left_out = [
        np.stack([statistic(network[groups != group], everything[groups != group]) for network in values])
        for group in range(count)
    ]
    return whole, count * whole[:, None] - (count - 1) * np.stack(left_out, axis=1)


def ends(
    estimate: np.ndarray, cells: np.ndarray, confidence: float, less: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of intervals around estimates (K,) from cells (seeds, images or groups, K); NaN where there is none.

    `less`: cells of a second run on the same images, whose estimate was subtracted. Two networks have no interval.
    """
    runs = [cells] if less is None else [cells, less]
    if any(1 < len(run) < FEWEST_SEEDS for run in runs):
        return np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    by_image = cells.mean(0) if less is None else cells.mean(0) - less.mean(0)  # (images, K)
    n = len(by_image)
    image_variance = by_image.var(0, ddof=1) / n
    seed_variance, freedom = _seed_part(runs)
    total = image_variance + seed_variance
    tail = (1 + confidence) / 2
    with np.errstate(invalid="ignore"):
        quantile = (image_variance * stats.t.ppf(tail, n - 1) + seed_variance * stats.t.ppf(tail, freedom)) / total
    half = np.where(total > 0, quantile * np.sqrt(total), np.where(np.isnan(total), np.nan, 0.0))
    return estimate - half, estimate + half


def _seed_part(runs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """max(MS_seeds - MS_error, 0) / (seeds * images), summed over runs, and Welch's degrees of freedom: (K,) each.

    Zero for a run of one network, which stands for itself.
    """
    width = runs[0].shape[2]
    total, squares = np.zeros(width), np.zeros(width)
    for cells in runs:
        seeds, n, _ = cells.shape
        if seeds > 1:
            by_seed = cells.mean(1, keepdims=True)
            residual = cells - cells.mean(0, keepdims=True) - by_seed + cells.mean((0, 1))
            error = (residual**2).sum((0, 1)) / ((seeds - 1) * (n - 1))
            variance = (n * by_seed[:, 0].var(0, ddof=1) - error).clip(min=0) / (seeds * n)
            total, squares = total + variance, squares + variance**2 / (seeds - 1)
    return total, np.divide(total**2, squares, out=np.ones(width), where=squares > 0)


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


def _mean_and_cells(grid: np.ndarray, groups: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of all values, and how each network's images of a cluster move it: (seeds, clusters), mean as its mean.

    With every value there and one image a cluster these are the values themselves. Else the mean is a ratio of sums
    (of values and of counts), and a cell holds its linear approximation (Cochran 1977, section 6.3).
    """
    counted = np.isfinite(grid)
    mean = float(grid[counted].mean())
    deviation = np.where(counted, np.where(counted, grid, 0.0) - mean, 0.0) / counted.mean()
    n_clusters = int(groups.max()) + 1
    by_cluster = np.stack([np.bincount(groups, network, n_clusters) for network in deviation])
    return mean, mean + by_cluster * (n_clusters / grid.shape[1])


def _share_ends(mean: float, low: float, high: float, n_clusters: int, confidence: float) -> tuple[float, float]:
    """The ends of a share stay in [0, 1]; at a share of 0 or 1 the open end is exact."""
    if mean in (0, 1):
        exact = stats.binomtest(round(mean * n_clusters), n_clusters).proportion_ci(confidence, "exact")
        return float(exact.low), float(exact.high)
    return max(low, 0.0), min(high, 1.0)
