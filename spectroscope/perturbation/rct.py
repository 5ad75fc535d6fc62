"""Relative change of DCT coefficients (RCT; Wang et al. 2020, Eq. 8) by three estimators.

The paper's estimator, the mean over images of |change / clean|, has no finite expectation, because clean coefficients
come near zero; the median of ratios and the ratio of means are stable. None of them means anything without its control:
the relative change by white noise of the same norm, clipped alike (`null.matched_noise`).
"""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.frequency.channels import Channels
from spectroscope.perturbation.spectra import Spectra, change_and_reference

Estimator = Literal["mean_of_ratios", "median_of_ratios", "ratio_of_means"]
ESTIMATORS: tuple[Estimator, ...] = ("mean_of_ratios", "median_of_ratios", "ratio_of_means")
LINEAR: tuple[Estimator, ...] = ("mean_of_ratios", "ratio_of_means")  # all replicates are one matrix product

_BATCH_SIZE = 32  # images whose spectra stay in a CPU's cache


def rct_map(
    clean: Tensor, adversarial: Tensor, estimator: Estimator = "mean_of_ratios", channels: Channels = "each"
) -> Tensor:
    """Relative change of each DCT coefficient: (N, C, H, W) twice, C = 1 or 3 -> (H, W), in the dtype of `clean`.

    mean_of_ratios is the paper's Eq. 8: the mean over images of |change / clean|. median_of_ratios takes the median
    instead, ratio_of_means divides mean |change| by mean |clean|. With three channels, `each` pools the coefficients of
    all channels and `luminance` transforms BT.601 luminance. A coefficient that is zero (up to rounding) in a clean
    image has no ratio and is left out; one that is zero in all of them gets 0. ValueError for shapes that differ, no
    image, values that are not finite, and an unknown estimator.

    A tenth less contrast changes every coefficient by a tenth of its size:

    >>> import torch
    >>> images = torch.rand(8, 3, 2, 2)
    >>> rct_map(images, 0.9 * images, "ratio_of_means")
    tensor([[0.1000, 0.1000],
            [0.1000, 0.1000]])
    """
    if estimator == "median_of_ratios":
        change, reference = change_and_reference(clean, adversarial, channels)
        return weighted_relative_change(change, reference, estimator, change.new_ones(1, len(change)))[0]
    # summed over batches, so that memory does not grow with the number of images
    numerator = denominator = clean.new_zeros(())
    for images, changed in zip(clean.split(_BATCH_SIZE), adversarial.split(_BATCH_SIZE), strict=True):
        change, reference = change_and_reference(images, changed, channels)
        sums = _sums(change, reference, estimator, change.new_ones(1, len(change)))
        numerator, denominator = numerator + sums[0], denominator + sums[1]
    return _ratio(numerator, denominator).unflatten(1, clean.shape[2:])[0]


def relative_change(spectra: Spectra, estimator: Estimator, weights: Tensor) -> Tensor:
    """One estimator for each row of weights of the perturbations: weights (D, N) -> (D, H, W)."""
    return weighted_relative_change(spectra.change, spectra.reference, estimator, spectra.by_row(weights))


def weighted_relative_change(change: Tensor, reference: Tensor, estimator: Estimator, weights: Tensor) -> Tensor:
    """One estimator from the spectra of M changes and M clean images, of which row m counts weights[d, m] times.

    (M, H, W) twice, weights (D, M) -> (D, H, W).
    """
    size = change.shape[1:]
    if estimator == "median_of_ratios":
        defined = ~vanishing(reference)
        ratio = (change / torch.where(defined, reference, 1.0)).abs()
        values = torch.where(defined, ratio, torch.nan).flatten(1)
        return weighted_median(values, weights).nan_to_num(0.0).unflatten(1, size)
    return _ratio(*_sums(change, reference, estimator, weights)).unflatten(1, size)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Median of each column, row m counted weights[d, m] times: (M, K), (D, M) whole numbers -> (D, K).

    The mean of the two middle values where their number is even. NaN does not count; NaN where nothing does.
    """
    ordered, order = values.mT.contiguous().sort(1)  # (K, M), NaN last
    valid = (~ordered.isnan()).to(weights.dtype)
    # Search the middle third of the ranks first; fall back to all ranks where a median lies outside.
    size = len(values)
    start, stop = size // 3, size - size // 3
    lower = torch.zeros_like(values).scatter_(0, order[:, :start].mT, valid[:, :start].mT)  # (M, K), 1 in lower third
    below, half = weights @ lower, weights @ (~values.isnan()).to(weights.dtype) / 2  # (D, K) each
    medians = []
    for draw, passed, middle in zip(weights, below, half, strict=True):
        ranks = slice(start, stop)
        counted = (draw[order[:, ranks]] * valid[:, ranks]).cumsum_(1).add_(passed[:, None])
        if (passed >= middle).any() or (counted[:, -1] <= middle).any():
            ranks, counted = slice(None), (draw[order] * valid).cumsum_(1)
        ends = middle[:, None] + middle.new_tensor([0.0, 0.25])  # counts are whole: at half of them, and just above
        position = torch.searchsorted(counted, ends).clamp_max_(counted.shape[1] - 1)
        medians.append(ordered[:, ranks].gather(1, position).mean(1))
    return torch.stack(medians)


def vanishing(spectrum: Tensor) -> Tensor:
    """Coefficients that are zero up to the rounding error of the transform: (M, H, W) -> (M, H, W) booleans.

    On flat images of 8 to 224 pixels a side that error was at most 2.6 eps times the image's norm; 4 leaves a margin.
    """
    norm = spectrum.flatten(1).norm(dim=1)[:, None, None]
    return spectrum.abs() <= 4 * torch.finfo(spectrum.dtype).eps * norm


def _sums(change: Tensor, reference: Tensor, estimator: Estimator, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of a ratio of sums over rows: (M, H, W) twice, weights (D, M) -> (D, H * W) twice."""
    sizes, undefined = reference.abs().flatten(1), vanishing(reference).flatten(1)
    change = change.abs().flatten(1)
    if estimator == "ratio_of_means":
        return weights @ change, weights @ sizes.masked_fill_(undefined, 0.0)
    if estimator == "mean_of_ratios":
        ratio = change.div_(sizes.masked_fill_(undefined, torch.inf))
        return weights @ ratio, weights.sum(1, keepdim=True) - weights @ undefined.to(weights.dtype)
    raise ValueError(f"expected an estimator among {', '.join(ESTIMATORS)}, got {estimator!r}")


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, 0 where the denominator is."""
    return torch.where(denominator > 0, numerator / torch.where(denominator > 0, denominator, 1.0), 0.0)
