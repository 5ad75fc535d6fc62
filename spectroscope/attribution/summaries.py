"""Summaries of attribution curves: centroid, high-frequency share, negative share, sums over whole bands."""

import numpy as np

from spectroscope.attribution.shell_bands import mean_shells
from spectroscope.frequency.shell_ranges import first_shell, low_middle_high
from spectroscope.statistics.estimates import ratio


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


def centroid_abs(curves: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Centre of mass of the absolute values above DC: (..., bands) -> (...); NaN where all of them are zero."""
    return centroid(np.abs(curves), positions)


def negative_share(curves: np.ndarray) -> np.ndarray:
    """Share of negative mass above DC: (..., bands) -> (...), sum of |negative part| / sum of |all|.

    What `centroid` and `hf_share` leave out; NaN where all values above DC are zero.
    """
    above = curves[..., 1:]
    return ratio((-above).clip(min=0).sum(-1), np.abs(above).sum(-1))


def shell_summaries(
    curves: np.ndarray, edges: np.ndarray, hf_from: float, has_share: np.ndarray
) -> dict[str, np.ndarray]:
    """Every summary of class curves (..., classes, bands) by name, each (...); edges (bands, 2): of `shell_bands`.

    A band of several shells stands at its mean shell: for centroids, and for whether it is low, middle or high.

    centroid, centroid_abs, negative_share: of the mean over classes, in shells (0 = DC; Wang et al. 2020, Fig. 1, count
    k = shell + 1). hf_share, class_negative: means of the classes' high-frequency shares and negative shares, over the
    classes has_share (classes,); a mean over classes can hide that single classes are negative. dc, low_sum, mid_sum,
    high_sum: of the mean over classes, signs kept, over DC and the bands of `shell_ranges.low_middle_high`.
    """
    mean, shell = class_mean(curves, -2), mean_shells(edges)
    low, middle, high = low_middle_high(_n_shells(edges), hf_from).values()
    sums = {"dc": (0, 1), "low_sum": low, "mid_sum": middle, "high_sum": high}
    return {
        "centroid": centroid(mean, shell),
        "centroid_abs": centroid_abs(mean, shell),
        "hf_share": class_mean(class_shares(curves, edges, hf_from)[..., has_share], -1),
        "negative_share": negative_share(mean),
        "class_negative": class_mean(negative_share(curves)[..., has_share], -1),
        **{name: mean[..., (shell >= first) & (shell < end)].sum(-1) for name, (first, end) in sums.items()},
    }


def class_shares(curves: np.ndarray, edges: np.ndarray, hf_from: float) -> np.ndarray:
    """High-frequency share of each class: (..., bands) -> (...); high are the shells from `first_shell(hf_from)`.

    A band of several shells (edges, as in `shell_summaries`) is high where its mean shell is.
    """
    return hf_share(curves, mean_shells(edges), first_shell(hf_from, _n_shells(edges)))


def _n_shells(edges: np.ndarray) -> int:
    return int(edges[-1, 1]) + 1
