"""Statistics of runs with intervals over trained networks and images: every table's mean, low, high, n.

A statistic is computed network by network and averaged over networks; a curve pooled over networks would cancel signs,
and a centroid of it would depend on how many there are. Its interval comes from its pseudo-values, from leaving out one
group of images at a time (Tukey 1958), in the two-way layout of `statistics.intervals`. A group holds whole clusters
of images, and every class is spread over the groups. Images of a single cluster are one group: every statistic of them
has its value and no interval.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from spectroscope.pipeline.params import Settings
from spectroscope.statistics import intervals

SUMMARY = ["mean", "low", "high", "n_images", "n_seeds", "networks"]
FAY = 0.5  # by how much the weights of `balanced_weights` differ from 1


class StatisticsSettings(Settings):
    """`confidence` of the intervals; `groups`: of images, most of which one at a time is left out (the jackknife)."""

    confidence: Annotated[float, Field(gt=0, lt=1)]
    groups: Annotated[int, Field(ge=5)]


@dataclass(frozen=True)
class Estimates:
    """K statistics of one run: of each network (S, K), and their pseudo-values by group of images (S, G, K).

    n_images: images that count for at least one network. share: whether the statistics are shares of images. bounds:
    between which the statistics lie (a high-frequency share: 0 and 1; a centroid: the first and the last shell; a norm:
    0 and infinity). groups: a number for each group of images (G,), equal where the images are; only estimates of the
    same groups can be subtracted. None: not known.
    """

    by_network: np.ndarray
    cells: np.ndarray
    n_images: int
    share: bool = False
    bounds: tuple[float, float] | None = None
    groups: np.ndarray | None = None


def means(
    values: np.ndarray, clusters: np.ndarray, share: bool = False, bounds: tuple[float, float] | None = None
) -> Estimates:
    """Means over images: values (S, I, K), NaN where an image does not count, and the cluster of each image (I,).

    An image that counts for no network is no image: its cluster is not among the groups.
    """
    counted = np.isfinite(values).any((0, 2))
    if not counted.any():
        nothing = np.full((len(values), 1, values.shape[2]), np.nan)
        return Estimates(nothing[:, 0], nothing, 0, share, bounds)
    names, groups = np.unique(clusters[counted], return_inverse=True)
    return Estimates(*intervals.mean_cells(values[:, counted], groups), int(counted.sum()), share, bounds, names)


def jackknife(
    values: np.ndarray,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    groups: np.ndarray,
    bounds: tuple[float, float] | None = None,
    names: np.ndarray | None = None,
) -> Estimates:
    """Any smooth statistic of each network: values (S, I, ...), groups (I,) as of `image_groups`; see `Estimates`.

    names: of the groups, as of `group_names`.

    `statistic` takes the values of one network (I', ...) and the places of its images (I',), and gives (K,) numbers.
    Statistics of ranks go in steps and need `balanced`: from steps of one group the variance is far too large.
    """
    everything, n_groups = np.arange(values.shape[1]), int(groups.max()) + 1
    kept = [everything, *(everything[groups != group] for group in range(n_groups if n_groups > 1 else 0))]
    found = np.stack([[statistic(network[rows], rows) for rows in kept] for network in values])  # (S, 1 + G, K)
    return from_replicates(found, _counted(values), bounds=bounds, names=names)


def from_replicates(
    replicates: np.ndarray,
    n_images: int,
    share: bool = False,
    bounds: tuple[float, float] | None = None,
    names: np.ndarray | None = None,
) -> Estimates:
    """Estimates from statistics of each network, of all images and without each group in turn: (S, 1 + G, K).

    Without a single group nothing is left: its replicate may be missing, and its pseudo-value is NaN.
    """
    whole, without = replicates[:, 0], replicates[:, 1:]
    n_groups = without.shape[1]
    if n_groups < 2:
        return Estimates(whole, np.full_like(whole[:, None], np.nan), n_images, share, bounds, names)
    return Estimates(whole, n_groups * whole[:, None] - (n_groups - 1) * without, n_images, share, bounds, names)


def medians(values: np.ndarray, clusters: np.ndarray, labels: np.ndarray) -> Estimates:
    """Medians of norms over images: values (S, I, K), NaN where an image does not count; clusters and labels (I,).

    A median needs larger groups than one image: about sqrt(clusters) of them (Shao & Wu 1989). It is infinite where
    half of the values are, and has no interval where it is infinite without one of the groups.
    """
    groups = image_groups(clusters, labels, max(2, round(len(np.unique(clusters)) ** 0.5)))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        names = group_names(groups, clusters)
        found = jackknife(values, lambda network, _: _median(network), groups, (0, np.inf), names)
    return replace(found, cells=np.where(np.isfinite(found.cells), found.cells, np.nan))


def balanced_weights(groups: np.ndarray) -> np.ndarray:
    """Weights of the images for `balanced`: groups (I,) 0..G-1, folded to G' of them, a power of 2 -> (2 G' - 1, I).

    First all images at 1; then pairs, in which one half of the groups weighs 1.5 and the other .5, and the reverse. The
    halves are the columns of a Hadamard matrix, so that every two groups are as often together as apart (McCarthy
    1969, balanced half-samples; Fay's weights, which leave nothing out: Judkins 1990). A single group has no pairs.
    """
    folded = fold(groups)
    halves = _hadamard(int(folded.max()) + 1)[folded, 1:].T  # (G' - 1, I)
    pairs = np.stack([1 + FAY * halves, 1 - FAY * halves], axis=1).reshape(-1, len(groups))
    return np.concatenate([np.ones((1, len(groups))), pairs])


def fold(groups: np.ndarray) -> np.ndarray:
    """Groups 0..G-1 put together to 0..G'-1, G' the largest power of 2 that is at most G: (I,) -> (I,)."""
    return groups % 2 ** int(np.log2(int(groups.max()) + 1))


def balanced(
    replicates: np.ndarray,
    n_images: int,
    bounds: tuple[float, float] | None = None,
    names: np.ndarray | None = None,
) -> Estimates:
    """Estimates of statistics that need not be smooth (of ranks), from their values at `balanced_weights`: (S, R, K).

    A cell of a group is what turns up in the statistic where the group weighs more; for a mean of equal groups the
    cells are the means of the groups, as in `from_replicates`. names: of the groups as `fold` puts them together.
    """
    whole, pairs = replicates[:, 0], replicates[:, 1:]
    contrasts = (pairs[:, ::2] - pairs[:, 1::2]) / (2 * FAY)  # (S, G - 1, K)
    halves = _hadamard(contrasts.shape[1] + 1)[:, 1:]
    cells = whole[:, None] + np.einsum("gr,srk->sgk", halves, contrasts)
    return Estimates(whole, cells, n_images, bounds=bounds, groups=names)


def _hadamard(n: int) -> np.ndarray:
    """Sylvester's Hadamard matrix (n, n) of 1 and -1, n a power of 2: its columns are orthogonal, the first is of 1."""
    matrix = np.ones((1, 1), int)
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def image_groups(clusters: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """Group of each image, 0..G-1, at most `most`: (I,) twice -> (I,). Clusters stay whole, classes are spread."""
    first = pd.DataFrame({"cluster": clusters, "label": labels}).drop_duplicates("cluster")
    ordered = first.sort_values("label", kind="stable")["cluster"].to_numpy()
    group_of = dict(zip(ordered.tolist(), (np.arange(len(ordered)) % min(most, len(ordered))).tolist(), strict=True))
    return np.array([group_of[cluster] for cluster in np.asarray(clusters).tolist()])


def group_names(groups: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """A number for each group (G,) that only the same set of clusters has: groups and clusters (I,) of the images.

    It is negative, unlike the number of a cluster. Images of group -1 are in none.
    """
    names = []
    for group in range(int(groups.max()) + 1):
        members = np.unique(clusters[groups == group]).astype("<i8")
        names.append(-1 - int.from_bytes(hashlib.blake2b(members.tobytes(), digest_size=7).digest(), "little"))
    return np.array(names)


def align(a: Estimates, b: Estimates) -> tuple[Estimates, Estimates]:
    """Both with the groups of either, so that they can be subtracted: paired where groups are the same, else apart.

    A group that one of them lacks moves nothing there. Where no group is common, the variance of a difference is the
    sum of both. ValueError where one does not know its groups.
    """
    if a.groups is None or b.groups is None:
        raise ValueError("expected estimates that know their groups of images, got some that do not")
    names = np.union1d(a.groups, b.groups)
    return _among(a, names), _among(b, names)


def _among(estimates: Estimates, names: np.ndarray) -> Estimates:
    """The same estimates, with cells for all groups `names`."""
    whole, own = estimates.by_network[:, None], estimates.cells
    places: Any = np.searchsorted(names, np.asarray(estimates.groups))
    cells = np.repeat(whole, len(names), axis=1)
    cells[:, places] += (own - whole) * len(names) / own.shape[1]
    return replace(estimates, cells=cells, groups=names)


def subtract(a: Estimates, b: Estimates) -> Estimates:
    """a - b of the same networks on the same images: paired in both; ValueError where the groups differ."""
    _require_same_groups(a, b)
    return Estimates(a.by_network - b.by_network, a.cells - b.cells, min(a.n_images, b.n_images), groups=a.groups)


def summary(estimates: Estimates, statistics: StatisticsSettings) -> dict[str, Any]:
    """Columns SUMMARY of K statistics, arrays (K,).

    Networks without a value (NaN) do not count. n_seeds: networks that have one. networks: the value of each network,
    separated by blanks. Two networks have no interval, one has an interval over images, for this network alone.
    """
    width = estimates.by_network.shape[1]
    low, high, mean = (np.full(width, np.nan) for _ in range(3))
    there = np.isfinite(estimates.by_network)
    for pattern in np.unique(there, axis=1).T:
        if pattern.any():
            columns = (there == pattern[:, None]).all(0)
            by_network, cells = estimates.by_network[pattern][:, columns], estimates.cells[pattern][:, :, columns]
            mean[columns] = by_network.mean(0)
            bounds = intervals.ends(by_network, cells, statistics.confidence)
            if estimates.share:
                bounds = intervals.share_ends(mean[columns], *bounds, cells.shape[1], statistics.confidence)
            else:
                bounds = intervals.with_variance(*bounds)
                if estimates.bounds:
                    bounds = intervals.bounded_ends(mean[columns], *bounds, *estimates.bounds)
            low[columns], high[columns] = bounds
    networks = [" ".join(f"{value:.4g}" for value in column) for column in estimates.by_network.T]
    sizes = {"n_images": np.full(width, estimates.n_images), "n_seeds": there.sum(0), "networks": np.array(networks)}
    return {"mean": mean, "low": low, "high": high, **sizes}


def difference(run: Estimates, reference: Estimates, statistics: StatisticsSettings) -> dict[str, Any]:
    """Columns SUMMARY of run - reference on the same images: paired by image, the networks being other ones.

    Arrays (K,); a statistic that a network of either run lacks (NaN) has no value. networks: those of the run.
    """
    _require_same_groups(run, reference)
    low, high = intervals.ends(
        run.by_network, run.cells, statistics.confidence, less=(reference.by_network, reference.cells)
    )
    own = summary(run, statistics)
    mean = run.by_network.mean(0) - reference.by_network.mean(0)
    if run.share and reference.share:
        low, high = intervals.share_difference_ends(mean, low, high, run.cells.shape[1], statistics.confidence)
    else:
        low, high = intervals.with_variance(low, high)
    n_images = np.minimum(own["n_images"], reference.n_images)
    n_seeds = np.minimum(own["n_seeds"], np.isfinite(reference.by_network).sum(0))
    return {**own, "mean": mean, "low": low, "high": high, "n_images": n_images, "n_seeds": n_seeds}


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, in the shape of `above`; NaN where the denominator is not positive."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def grid(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Values (seeds, images, columns) of a table with one row per seed and image; ValueError where one is missing."""
    table = table.sort_values(["seed", "image"])
    seeds, images = table["seed"].nunique(), table["image"].nunique()
    if len(table) != seeds * images or table.duplicated(["seed", "image"]).any():
        raise ValueError(f"expected every one of {seeds} seeds to have the same {images} images, got {len(table)} rows")
    return table[columns].to_numpy(float).reshape(seeds, images, len(columns))


def per_image(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column of each image (its label, its cluster), in the order of `grid`: (images,)."""
    return table.sort_values("image").drop_duplicates("image")[column].to_numpy()


def _require_same_groups(a: Estimates, b: Estimates) -> None:
    if a.cells.shape[1:] != b.cells.shape[1:]:
        raise ValueError(f"expected statistics of the same groups of images, got {a.cells.shape} and {b.cells.shape}")
    if a.groups is not None and b.groups is not None and not np.array_equal(a.groups, b.groups):
        raise ValueError("expected statistics of the same groups of images, got as many groups of other images")


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each column without its NaN, infinite where half of the values are: (I, K) -> (K,)."""
    counted = [column[~np.isnan(column)] for column in values.T]
    return np.array([np.median(column) if len(column) else np.nan for column in counted])


def _counted(values: np.ndarray) -> int:
    """Images with a value for at least one network: (S, I, ...)."""
    finite = np.isfinite(values).reshape(*values.shape[:2], -1)
    return int(finite.any((0, 2)).sum())
