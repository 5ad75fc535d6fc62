"""Means with bootstrap intervals over trained networks and images, and every random stream of the statistics.

The unit of replication is a seed, one trained network. All networks of a run see the same images, so the bootstrap
resamples seeds and images, crossed: one draw takes the same images for every seed (Owen 2007, "The pigeonhole
bootstrap"). With few seeds the intervals are rough, but wider and more honest than intervals over images alone.

`values` (seeds, images, K) are K numbers of each image from each network; `groups` (images, n_groups), of 0 and 1, are
the sets of images that means are taken over, such as classes.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from spectroscope.statistics.estimates import StatisticsSettings, grid, ratio

STREAMS: dict[str, tuple[int, ...]] = {
    "images": (0,),
    "seeds": (1,),
    "split_half": (2,),
    "class_spectra": (3,),
    "probes": (4,),
    "margins": (5,),
    "null_widening": (6,),
    "perturbations": (7,),
}
__all__ = ["StatisticsSettings", "grid", "ratio"]
_DRAWS_PER_BLOCK = 100  # bounds the memory of `group_means`, whatever the number of resamples


def stream(settings: StatisticsSettings, name: str, *keys: int) -> np.random.Generator:
    """A new generator at the start of a stream of STREAMS; `keys` tell streams of one name apart, such as runs."""
    if name not in STREAMS:
        raise ValueError(f"expected a stream of {', '.join(STREAMS)}, got {name!r}")
    return np.random.default_rng([settings.seed, *STREAMS[name], *keys])


def everything(n_images: int) -> np.ndarray:
    """Groups with one group, of all images: (images, 1)."""
    return np.ones((n_images, 1))


def by_class(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Groups with one group per class: (images, n_classes)."""
    return (labels[:, None] == np.arange(n_classes)).astype(float)


def group_means(
    values: np.ndarray, groups: np.ndarray, seed_counts: np.ndarray, image_counts: np.ndarray
) -> np.ndarray:
    """Weighted mean of `values` over each group, for each draw: (draws, n_groups, K).

    seed_counts (draws, seeds), image_counts (draws, images): how often a draw holds each seed and each image; a value
    has the product as its weight. A row of `values` with a NaN is left out; a group without a row in a draw is NaN.
    """
    seeds, images, width = values.shape
    finite = np.isfinite(values).all(2)
    filled = np.where(finite[:, :, None], values, 0.0).reshape(seeds, images * width)
    means = []
    for start in range(0, len(seed_counts), _DRAWS_PER_BLOCK):
        seed_block, image_block = (counts[start : start + _DRAWS_PER_BLOCK] for counts in (seed_counts, image_counts))
        sums = (seed_block @ filled).reshape(-1, images, width) * image_block[:, :, None]  # (draws, images, K)
        weights = (seed_block @ finite) * image_block  # (draws, images)
        group_sums = np.einsum("rik,ig->rgk", sums, groups, optimize=True)
        means.append(ratio(group_sums, (weights @ groups)[:, :, None]))
    return np.concatenate(means)


def estimate(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean of `values` over each group, every seed and image counted once: (n_groups, K)."""
    seeds, images, _ = values.shape
    return group_means(values, groups, np.ones((1, seeds)), np.ones((1, images)))[0]


def counts(seeds: int, images: int, settings: StatisticsSettings, run: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each bootstrap draw holds each seed (resamples, seeds) and each image (resamples, images).

    Images are drawn alike for all runs, seeds anew for each (`run`: its position in the study), so that the difference
    of two runs is paired by image and not by seed.
    """
    image_counts = stream(settings, "images").multinomial(images, np.full(images, 1 / images), size=settings.resamples)
    seed_counts = stream(settings, "seeds", run).multinomial(seeds, np.full(seeds, 1 / seeds), size=settings.resamples)
    return seed_counts, image_counts


def draws(values: np.ndarray, groups: np.ndarray, settings: StatisticsSettings, run: int) -> np.ndarray:
    """Mean of `values` over each group in each bootstrap draw: (resamples, n_groups, K); `run` as in `counts`."""
    seeds, images, _ = values.shape
    seed_counts, image_counts = counts(seeds, images, settings, run)
    return group_means(values, groups, seed_counts.astype(float), image_counts.astype(float))


class Means(NamedTuple):
    """Means (K,) over seeds and images, their draws (resamples, K), and the shape (seeds, images, K) of the values."""

    point: np.ndarray
    drawn: np.ndarray
    shape: tuple[int, ...]


def means(values: np.ndarray, settings: StatisticsSettings, run: int) -> Means:
    """Mean of each of K values over all seeds and images, with its bootstrap draws; `run` as in `counts`."""
    groups = everything(values.shape[1])
    return Means(estimate(values, groups)[0], draws(values, groups, settings, run)[:, 0], values.shape)


def interval(drawn: np.ndarray, settings: StatisticsSettings) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over draws, the first axis: low and high. NaN draws are left out; all NaN gives NaN."""
    tail = (1 - settings.confidence) / 2
    empty = ~np.isfinite(drawn).any(0)
    values = np.where(empty, 0.0, drawn)
    ends = np.quantile(values, [tail, 1 - tail], axis=0)  # nanquantile loops over columns in Python: only where needed
    gaps = np.isnan(values).any(0)
    if gaps.any():
        ends[:, gaps] = np.nanquantile(values[:, gaps], [tail, 1 - tail], axis=0)
    return np.where(empty, np.nan, ends[0]), np.where(empty, np.nan, ends[1])


def summary(
    point: ArrayLike, drawn: np.ndarray, shape: tuple[int, ...], settings: StatisticsSettings
) -> dict[str, Any]:
    """Columns mean, low, high, n_images, n_seeds of estimates (...) and their draws (resamples, ...).

    shape: of their `values`, seeds and images first. A single estimate has numbers, several have columns, flattened.
    """
    low, high = interval(drawn, settings)
    figures = {"mean": np.asarray(point), "low": low, "high": high}
    columns = {name: values.ravel() if values.ndim else float(values) for name, values in figures.items()}
    return {**columns, "n_images": shape[1], "n_seeds": shape[0]}


def labels(table: pd.DataFrame) -> np.ndarray:
    """Label of each image, in the order of `grid`: (images,)."""
    return table.sort_values("image").drop_duplicates("image")["label"].to_numpy()
