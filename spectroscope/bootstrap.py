"""Means with intervals over trained networks (seeds) and images.

The unit of replication is a trained network. All networks see the same images, so the bootstrap resamples seeds and
images, crossed: a draw takes the same images for every seed (Owen 2007, "The pigeonhole bootstrap"). With few seeds
such an interval is rough; it is still wider, and more honest, than one over images alone.
"""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from spectroscope.pipeline.params import Settings

_BLOCK = 100  # draws at once: memory stays flat in the number of resamples


class StatisticsSettings(Settings):
    """Percentile bootstrap intervals."""

    confidence: Annotated[float, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


_STREAMS: dict[str, tuple[int, ...]] = {"perturbations": (), "split_half": (2,), "margins": (5,), "null_widening": (6,)}


def stream(settings: StatisticsSettings, name: str, *keys: int) -> np.random.Generator:
    """The random stream of this name, from its start."""
    return np.random.default_rng([settings.seed, *_STREAMS[name], *keys])


def group_means(
    values: np.ndarray, groups: np.ndarray, seed_counts: np.ndarray, image_counts: np.ndarray
) -> np.ndarray:
    """Weighted means of each group of images, once for each draw: (draws, n_groups, K).

    values (seeds, images, K), NaN where there is none (left out); groups (images, n_groups) 0 or 1; seed_counts (draws,
    seeds) and image_counts (draws, images): how often each counts. NaN for a group without a value in a draw.
    """
    seeds, images, width = values.shape
    there = np.isfinite(values).all(2)
    filled = np.where(there[:, :, None], values, 0.0).reshape(seeds, images * width)
    means = []
    for start in range(0, len(seed_counts), _BLOCK):
        of_seed, of_image = seed_counts[start : start + _BLOCK], image_counts[start : start + _BLOCK]
        sums = (of_seed @ filled).reshape(-1, images, width) * of_image[:, :, None]  # (draws, images, K)
        total = (of_seed @ there) * of_image  # (draws, images)
        count = (total @ groups)[:, :, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.einsum("rik,ig->rgk", sums, groups, optimize=True) / count)
    return np.concatenate(means)


def estimate(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Group means with every seed and image counted once: (n_groups, K)."""
    seeds, images, _ = values.shape
    return group_means(values, groups, np.ones((1, seeds)), np.ones((1, images)))[0]


def counts(seeds: int, images: int, settings: StatisticsSettings, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each seed (resamples, seeds) and each image (resamples, images) is drawn in each resample.

    Every call draws the same images; seeds are drawn independently for each `stream` (one for each run), so that the
    difference of two runs is paired by image and not by seed.
    """
    of_images, of_seeds = np.random.default_rng([settings.seed, 0]), np.random.default_rng([settings.seed, 1, stream])
    image_counts = of_images.multinomial(images, np.full(images, 1 / images), size=settings.resamples)
    return of_seeds.multinomial(seeds, np.full(seeds, 1 / seeds), size=settings.resamples), image_counts


def draws(values: np.ndarray, groups: np.ndarray, settings: StatisticsSettings, stream: int) -> np.ndarray:
    """Group means of each bootstrap draw: (resamples, n_groups, K); `stream` as in `counts`."""
    seed_counts, image_counts = counts(*values.shape[:2], settings, stream)
    return group_means(values, groups, seed_counts.astype(float), image_counts.astype(float))


def interval(drawn: np.ndarray, settings: StatisticsSettings) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over the first axis: low and high. Draws without a value are left out; NaN if all are."""
    tail = (1 - settings.confidence) / 2
    none = ~np.isfinite(drawn).any(0)
    ends = np.nanquantile(np.where(none, 0.0, drawn), [tail, 1 - tail], axis=0)
    return np.where(none, np.nan, ends[0]), np.where(none, np.nan, ends[1])


def everything(n_images: int) -> np.ndarray:
    """One group that holds all images: (images, 1)."""
    return np.ones((n_images, 1))


def by_class(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """One group for each class: (images, n_classes)."""
    return (labels[:, None] == np.arange(n_classes)).astype(float)


def summary(
    point: float, drawn: np.ndarray, shape: tuple[int, ...], settings: StatisticsSettings
) -> dict[str, float | int]:
    """mean, low, high, n_images, n_seeds of one number and its draws (resamples,); shape = (seeds, images, ...)."""
    low, high = interval(drawn, settings)
    return {"mean": float(point), "low": float(low), "high": float(high), "n_images": shape[1], "n_seeds": shape[0]}


def grid(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Rows (seed, image) as an array (seeds, images, columns); ValueError when a seed lacks an image."""
    table = table.sort_values(["seed", "image"])
    seeds, images = table["seed"].nunique(), table["image"].nunique()
    if len(table) != seeds * images or table.duplicated(["seed", "image"]).any():
        raise ValueError(f"expected every one of {seeds} seeds to have the same {images} images, got {len(table)} rows")
    return table[columns].to_numpy(float).reshape(seeds, images, len(columns))


def labels(table: pd.DataFrame) -> np.ndarray:
    """Label of each image, in the order of `grid`: (images,)."""
    return table.sort_values("image").drop_duplicates("image")["label"].to_numpy()
