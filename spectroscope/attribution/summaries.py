"""Summaries of attribution curves: centroid, high-frequency share, and sums over DC, low, middle and high shells."""

import math

import numpy as np

from spectroscope.statistics.bootstrap import ratio


def centroid(curves: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Centre of mass of the positive part above DC: (..., bands) -> (...), in the unit of positions (bands,).

    NaN where nothing above DC is positive.
    """
    positive = curves[..., 1:].clip(min=0)
    return ratio((positive * positions[1:]).sum(-1), positive.sum(-1))


def hf_share(curves: np.ndarray, positions: np.ndarray, hf_from: float) -> np.ndarray:
    """High-frequency share: the part of the positive attribution above DC in bands at or above the position hf_from.

    (..., bands) -> (...); NaN where nothing above DC is positive.
    """
    positive = curves[..., 1:].clip(min=0)
    return ratio(np.compress(positions[1:] >= hf_from, positive, axis=-1).sum(-1), positive.sum(-1))


def class_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over the classes along an axis; a class without images is NaN and left out."""
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0.0).sum(axis), there.sum(axis))


def shell_summaries(curves: np.ndarray, hf_from: float) -> dict[str, np.ndarray]:
    """centroid, hf_share, dc, low_sum, mid_sum and high_sum of class curves (..., classes, shells): arrays (...).

    centroid: of the mean over classes, in shells (0 = DC; Wang et al. 2020, Fig. 1, count k = shell + 1). hf_share:
    `class_shares`, averaged over the classes that have one. Sums: of the mean over classes, signs kept, over DC and the
    shells below hf_from / 2, below hf_from and above, as fractions of the number of shells (32 shells and 0.5: shells
    1..7, 8..15 and 16 up).
    """
    mean, shell = class_mean(curves, -2), np.arange(curves.shape[-1])
    middle, high = first_shell(hf_from / 2, len(shell)), first_shell(hf_from, len(shell))
    edges = {"dc": (0, 1), "low_sum": (1, middle), "mid_sum": (middle, high), "high_sum": (high, len(shell))}
    return {
        "centroid": centroid(mean, shell),
        "hf_share": class_mean(class_shares(curves, hf_from), -1),
        **{name: mean[..., first:last].sum(-1) for name, (first, last) in edges.items()},
    }


def class_shares(curves: np.ndarray, hf_from: float) -> np.ndarray:
    """High-frequency share of each class: (..., shells) -> (...); high are the shells from `first_shell(hf_from)`."""
    shells = curves.shape[-1]
    return hf_share(curves, np.arange(shells), first_shell(hf_from, shells))


def first_shell(fraction: float, shells: int) -> int:
    """First shell at or above a fraction of their number; .28 of 25 is 7, although the product is 7.000000000000001."""
    return math.ceil(round(fraction * shells, 9))
