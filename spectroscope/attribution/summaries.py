"""What a run's attribution curves come to: class means, centroid, high-frequency share, sums."""

import math

import numpy as np


def class_mean(curves: np.ndarray) -> np.ndarray:
    """Mean over the classes that have images: (..., classes, bands) -> (..., bands)."""
    there = np.isfinite(curves)
    return _ratio(np.where(there, curves, 0.0).sum(-2), there.sum(-2))


def centroid(curves: np.ndarray) -> np.ndarray:
    """Centre of mass of the positive part of the mean curve without DC, in the paper's 1-based k (DC is k = 1).

    curves (..., classes, bands): class means; classes without images are rows of NaN and left out. Mean over classes
    first, positive part second, as in the summary of Wang et al.'s Fig. 1. NaN where nothing is positive: (...).
    """
    positive = class_mean(curves)[..., 1:].clip(min=0)
    k = np.arange(2, curves.shape[-1] + 1)
    return _ratio((k * positive).sum(-1), positive.sum(-1))


def hf_share(curves: np.ndarray, hf_from: float) -> np.ndarray:
    """High-frequency share of the positive part without DC: of each class, then the mean over classes.

    curves (..., classes, bands). High: the shells from `hf_from` times the number of shells (32 shells and 0.5: the
    paper's k >= 17). Classes with no share (`missing_shares`) are left out of the mean; NaN where none has one: (...).
    """
    return class_mean(_shares(curves, hf_from)[..., None])[..., 0]


def missing_shares(curves: np.ndarray, hf_from: float) -> np.ndarray:
    """Number of classes that have no share, because they have no images or nothing positive outside DC: (...)."""
    return np.isnan(_shares(curves, hf_from)).sum(-1)


def sums(curves: np.ndarray, hf_from: float) -> dict[str, np.ndarray]:
    """The mean curve added up over DC, low, middle and high shells: four arrays (...), signs kept.

    High as in `hf_share`; low is below half of that (32 shells and 0.5: the paper's k = 2..8, 9..16 and 17 up).
    """
    mean = class_mean(curves)
    middle, high = _first_shell(hf_from / 2, mean.shape[-1]), _first_shell(hf_from, mean.shape[-1])
    edges = {"dc": (0, 1), "low_sum": (1, middle), "mid_sum": (middle, high), "high_sum": (high, mean.shape[-1])}
    return {name: mean[..., first:last].sum(-1) for name, (first, last) in edges.items()}


def _shares(curves: np.ndarray, hf_from: float) -> np.ndarray:
    positive = curves[..., 1:].clip(min=0)
    return _ratio(positive[..., _first_shell(hf_from, curves.shape[-1]) - 1 :].sum(-1), positive.sum(-1))


def _first_shell(fraction: float, shells: int) -> int:
    """First shell at or above a fraction of their number; .28 of 25 is 7, although the product is 7.000000000000001."""
    return math.ceil(round(fraction * shells, 9))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where the denominator is zero."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)
