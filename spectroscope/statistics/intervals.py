"""Confidence intervals over trained networks (seeds) and images.

Both are samples: other seeds and other images of the same kind would have given another result. Networks and images
are crossed (every network sees the same images), a two-way random-effects layout with one value in a cell (Searle,
Casella & McCulloch 1992, section 4.6). Its mean squares give the variance of a mean,

    Var = [max(MS_seeds - MS_error, 0) + MS_images] / (seeds * images),

and the quantile is the mean of the two t quantiles, weighted by their parts of that variance (Cochran 1964). Statistics
that are no means (centroids, shares, Kendall's W) are computed network by network, averaged, and treated alike through
their pseudo-values, from leaving out one group of images at a time (Tukey 1958): see `statistics.estimates`.

Statistics between two bounds (a share between 0 and 1, a centroid between the first and the last shell) have skewed
distributions near a bound. Their intervals are symmetric on the logit scale of the place between the bounds, with the
delta method's standard error (Brown, Cai & DasGupta 2001; for shares in samples of clusters Korn & Graubard 1998).
Accuracies of three networks that differ much, .75 on average, held the truth in .88 of simulations on their own scale,
in .93 with Wilson's interval and in .94 on the logit scale. benchmarks/coverage.py measures all these intervals.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # scipy.stats, which has the same t quantile, takes half a second to import

FEWEST_SEEDS = 3  # two networks say too little of how networks vary: their two values are reported instead
EVERYTHING = 0.999  # of the range between two bounds: an interval as wide says nothing
MOST_FACTOR = 1000.0  # between a mean and its ends where there is no upper bound: the same


class Interval(NamedTuple):
    """An estimate and its interval; `low` and `high` are NaN where there is none."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, confidence: float = 0.95, clusters: Sequence[int] | None = None) -> Interval:
    """Mean over networks and images, with its interval: (seeds, images) or (images,) -> (mean, low, high).

    NaN marks an image that does not count for a network; the mean is that of the networks' means. `clusters`: a number
    for each image; images of one cluster are not independent (patches of one photograph). One network: the interval is
    over images, for this network alone. Two networks, or images of a single cluster: there is no interval. Where all
    values are 0 or 1, the ends are those of `share_ends`. ValueError for other shapes, a confidence outside (0, 1), or
    nothing to average.

    >>> mean_interval([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 0, 1]], confidence=0.9)
    Interval(mean=0.666..., low=0.260..., high=0.919...)
    """
    (grid,), groups = _counted(*_checked(values, confidence, clusters))
    means, cells = mean_cells(grid[:, :, None], groups)
    low, high = ends(means, cells, confidence)
    if _shares(grid):
        low, high = share_ends(means.mean(0), low, high, cells.shape[1], confidence)
    else:
        low, high = with_variance(low, high)
    return Interval(float(means.mean()), float(low[0]), float(high[0]))


def difference_interval(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, clusters: Sequence[int] | None = None
) -> Interval:
    """Mean of `a` minus mean of `b` on the same images, with its interval: (seeds, images) twice -> (mean, low, high).

    Paired by image; the networks of `a` and of `b` are independent samples, and their numbers may differ. NaN, clusters
    and one or two networks are treated as in `mean_interval`. Where all values are 0 or 1, the ends are those of
    `share_difference_ends`. ValueError where the images differ in number.

    >>> difference_interval([[1, 1, 1, 0]], [[1, 0, 0, 0]])
    Interval(mean=0.5, low=-0.41..., high=1.0)
    """
    (one, groups), (other, _) = (_checked(values, confidence, clusters) for values in (a, b))
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"expected the same images for both, got {one.shape[1]} and {other.shape[1]}")
    (one, other), groups = _counted(one, groups, other)
    (means, cells), (base, base_cells) = (mean_cells(grid[:, :, None], groups) for grid in (one, other))
    low, high = ends(means, cells, confidence, less=(base, base_cells))
    if _shares(one) and _shares(other):
        low, high = share_difference_ends(means.mean(0) - base.mean(0), low, high, cells.shape[1], confidence)
    else:
        low, high = with_variance(low, high)
    return Interval(float(means.mean() - base.mean()), float(low[0]), float(high[0]))


def ends(
    by_network: np.ndarray,
    cells: np.ndarray,
    confidence: float,
    less: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the intervals around means over networks (S, K), from cells (S, groups of images, K): (K,) twice.

    `less`: the same of a second run on the same groups of images, whose mean is subtracted. NaN where there is no
    interval: with two networks, a single group, or where a cell is not finite.
    """
    runs = [cells] if less is None else [cells, less[1]]
    estimate = by_network.mean(0) if less is None else by_network.mean(0) - less[0].mean(0)
    if cells.shape[1] == 1 or any(1 < len(run) < FEWEST_SEEDS for run in runs):
        return np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    half = half_width(variance_parts(*runs), confidence)
    return estimate - half, estimate + half


def half_width(parts: list[tuple[np.ndarray, Any]], confidence: float) -> np.ndarray:
    """Half the width of intervals (K,) from the parts of their variance, each with its degrees of freedom."""
    total = np.sum([variance for variance, _ in parts], axis=0)
    with np.errstate(invalid="ignore"):
        quantile = sum(variance * special.stdtrit(freedom, (1 + confidence) / 2) for variance, freedom in parts) / total
    return np.where(total > 0, quantile * np.sqrt(total), np.where(np.isnan(total), np.nan, 0.0))


def variance_parts(cells: np.ndarray, less: np.ndarray | None = None) -> list[tuple[np.ndarray, Any]]:
    """Variance of a mean due to images and due to networks, each with its degrees of freedom: see `ends`."""
    by_image = cells.mean(0) if less is None else cells.mean(0) - less.mean(0)  # (groups, K)
    runs = [cells] if less is None else [cells, less]
    return [(by_image.var(0, ddof=1) / len(by_image), len(by_image) - 1), _seed_part(runs)]


def with_variance(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends (K,), NaN where there was no variance but that of rounding: equal values are no certainty."""
    there = high - low > 1e-9 * np.maximum(np.abs(low), np.abs(high))
    return np.where(there, low, np.nan), np.where(there, high, np.nan)


def bounded_ends(
    mean: np.ndarray, low: np.ndarray, high: np.ndarray, lowest: float, highest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (K,) of statistics between two bounds, from the ends around their means: symmetric on the logit scale.

    A half width h around a mean at the place p between the bounds 0 and 1 is h / (p (1 - p)) there (delta method);
    without an upper bound (infinity) the scale is the logarithm, and h / (mean - lowest). At a bound there is no such
    scale; the ends are cut at the bounds.
    """
    if np.isinf(highest):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = np.exp((high - low) / 2 / (mean - lowest))
            below, above = lowest + (mean - lowest) / factor, lowest + (mean - lowest) * factor
        inside = mean > lowest
        low, high = np.where(inside, below, low.clip(min=lowest)), np.where(inside, above, high)
        told = ~inside | (factor < MOST_FACTOR)  # a mean near its bound with a large variance has no upper end
        told &= np.isfinite(high)
        return np.where(told, low, np.nan), np.where(told, high, np.nan)
    if lowest == highest:  # the centroid of a single shell
        return low.clip(lowest, highest), high.clip(lowest, highest)
    width = highest - lowest
    place, half = (mean - lowest) / width, (high - low) / 2 / width
    with np.errstate(divide="ignore", invalid="ignore"):
        step = half / (place * (1 - place))
        ends = [special.expit(special.logit(place) + sign * step) for sign in (-1, 1)]
    inside = (place > 0) & (place < 1)
    below, above = (np.where(inside, end, place + sign * half) for end, sign in zip(ends, (-1, 1), strict=True))
    # The minimum and maximum hold the point inside, whatever the rounding of the logit and back.
    low, high = np.minimum(lowest + width * below, mean), np.maximum(lowest + width * above, mean)
    low, high = low.clip(min=lowest), high.clip(max=highest)
    told = high - low < EVERYTHING * width  # a mean near a bound with a large variance has no end on the other side
    return np.where(told, low, np.nan), np.where(told, high, np.nan)


def share_ends(
    mean: np.ndarray, low: np.ndarray, high: np.ndarray, trials: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (K,) of shares of images, from the ends around their means: on the logit scale, see `bounded_ends`.

    At a share of 0 or 1 they are exact (Clopper & Pearson 1934), with as many trials as there are clusters of images.
    No share has an upper end below that of 0, nor a lower end above that of 1: a single right image says no more than
    none, and its variance, estimated from one image, says too little.
    """
    end = _exact_end(trials, confidence)
    low, high = bounded_ends(mean, low, high, 0.0, 1.0)
    return np.minimum(low, 1 - end), np.maximum(high, end)


def share_difference_ends(
    difference: np.ndarray, low: np.ndarray, high: np.ndarray, trials: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends (K,) of differences of two shares of the same images, from the ends around them: within [-1, 1].

    With e, Clopper and Pearson's end of no success in as many trials as there are clusters, they lie no nearer than e
    around 0 and 2 e around 1 or -1, and between them in proportion: that two runs fail on the same images does not say
    that they always will, and a difference of 1 is a share of 1, at least 1 - e, less one of 0, at most e. Five images
    or fewer thus do not set two shares apart at a confidence of .95, as in McNemar's exact test.
    """
    half = np.maximum((high - low) / 2, _exact_end(trials, confidence) * (1 + np.abs(difference)))  # NaN stays NaN
    return (difference - half).clip(min=-1), (difference + half).clip(max=1)


def _exact_end(trials: int, confidence: float) -> float:
    """Clopper and Pearson's upper end of a share of 0 in this number of trials."""
    return float(1 - ((1 - confidence) / 2) ** (1 / trials))


def mean_cells(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each network and its cells by group of images: (S, I, K), groups (I,) 0..G-1 -> (S, K), (S, G, K).

    NaN does not count. A network's cells average to its mean and say how far a group moves it: with every value there
    and one image a group they are the values, else the linear approximation of a ratio of sums (of values and counts;
    Cochran 1977, section 6.3). NaN for a network without a value.
    """
    counted = np.isfinite(values)
    number = counted.sum(1)  # (S, K)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counted, values, 0.0).sum(1) / np.where(number > 0, number, np.nan)
        deviation = np.where(counted, values - means[:, None], 0.0) / number[:, None]
    n_groups = int(groups.max()) + 1
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(n_groups))
    return means, means[:, None] + n_groups * np.add.reduceat(deviation[:, order], starts, axis=1)


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


def _shares(grid: np.ndarray) -> bool:
    """Whether all values that count are 0 or 1."""
    return bool(np.isin(grid[np.isfinite(grid)], (0, 1)).all())


def _checked(values: ArrayLike, confidence: float, clusters: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Values as (seeds, images), and the cluster of each image."""
    grid = np.atleast_2d(np.asarray(values, float))
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence:g}")
    if grid.ndim != 2 or not np.isfinite(grid).any(1).all():
        raise ValueError(f"expected values (seeds, images), some of each seed finite, got shape {grid.shape}")
    labels = np.arange(grid.shape[1]) if clusters is None else np.asarray(clusters)
    if labels.shape != grid.shape[1:]:
        raise ValueError(f"expected one cluster for each of {grid.shape[1]} images, got {labels.shape}")
    return grid, labels


def _counted(grid: np.ndarray, clusters: np.ndarray, *others: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The grids without images that count in none of them, and the cluster of each image as 0..C-1."""
    grids = [grid, *others]
    counted = np.any([np.isfinite(each).any(0) for each in grids], axis=0)
    groups = np.unique(clusters[counted], return_inverse=True)[1]
    return [each[:, counted] for each in grids], groups
