"""How far an estimator disagrees with itself: the gap between its maps of two halves of the images."""

import numpy as np
import torch
from torch import Tensor

from spectroscope.perturbation.null import Null, floored, score
from spectroscope.perturbation.rct import ESTIMATORS, LINEAR, relative_change
from spectroscope.perturbation.spectra import Spectra
from spectroscope.pipeline import machine


def split_half_gaps(networks: list[Spectra], nulls: list[Null], clusters: np.ndarray) -> np.ndarray:
    """Gap of each of ESTIMATORS, then of the score, for each network and split: (S, splits, estimators).

    clusters (test images,). For an estimator the gap is the median over coefficients of |a - b| / ((a + b) / 2), for
    the score that of |a - b| (a difference of logarithms is relative already). A split halves the clusters of images
    at random, alike for all networks. NaN where a half has no perturbation of a network.
    """
    settings = networks[0].settings
    stream = machine.generator(settings.noise_seed, 2)  # the control has the stream (noise_seed,), the null (..., 1)
    every = np.unique(np.concatenate([clusters[network.rows] for network in networks]))
    orders = [torch.randperm(len(every), generator=stream).numpy() for _ in range(settings.splits)]
    halves = [every[order[: len(every) // 2]] for order in orders]
    gaps = []
    for network, null in zip(networks, nulls, strict=True):
        first = torch.from_numpy(np.stack([np.isin(clusters[network.rows], half) for half in halves]))
        pairs = torch.stack([first, ~first], 1)
        gaps.append(np.where(pairs.any(2).all(1)[:, None], _gaps(network, null, pairs.to(network.power.dtype)), np.nan))
    return np.stack(gaps)


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
