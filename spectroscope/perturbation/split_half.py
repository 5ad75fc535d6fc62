"""How far an estimator disagrees with itself: the gap between its maps of two halves of the images."""

import numpy as np
import torch
from torch import Tensor

from spectroscope.perturbation.null import Null, floored, score
from spectroscope.perturbation.rct import ESTIMATORS, LINEAR, relative_change
from spectroscope.perturbation.spectra import Spectra
from spectroscope.statistics import bootstrap


def split_half_gaps(spectra: Spectra, null: Null) -> Tensor:
    """Gap of each of ESTIMATORS, then of the score: mean over splits, then each split, (1 + splits, estimators).

    For an estimator the median over coefficients of |a - b| / ((a + b) / 2), for the score that of |a - b| (a
    difference of logarithms is relative already). A split halves the images at random: all perturbations of an image
    are in one half. A single image has one split, without a value (NaN).
    """
    images, gaps = np.unique(spectra.units[:, 1]), np.full((1, len(ESTIMATORS) + 1), np.nan)
    if len(images) > 1:
        rng = bootstrap.stream(spectra.statistics, "split_half")
        chosen = [rng.permutation(images)[: len(images) // 2] for _ in range(spectra.settings.splits)]
        first = torch.from_numpy(np.stack([np.isin(spectra.units[:, 1], half) for half in chosen]))
        gaps = _gaps(spectra, null, torch.stack([first, ~first], 1).to(spectra.power.dtype))
    return torch.from_numpy(np.concatenate([gaps.mean(0, keepdims=True), gaps]))


def _gaps(spectra: Spectra, null: Null, halves: Tensor) -> np.ndarray:
    """The gaps of each split, from weights (splits, 2, N): (splits, estimators)."""
    power, noise = floored(spectra.power).flatten(1), null.power.flatten(1)
    # One sort serves the medians of all halves. Sums: pair by pair, since one batched product would round differently.
    medians = relative_change(spectra, "median_of_ratios", halves.flatten(0, 1)).unflatten(0, halves.shape[:2])
    gaps = []
    for pair, median in zip(halves, medians, strict=True):
        linear = {name: relative_change(spectra, name, pair) for name in LINEAR}
        maps = [linear.get(name, median) for name in ESTIMATORS]
        a, b = score(pair @ power, pair @ noise)
        gaps.append([*((a - b).abs() / ((a + b) / 2) for a, b in maps), (a - b).abs()])
    return np.array([[gap.nanmedian().item() for gap in row] for row in gaps])
