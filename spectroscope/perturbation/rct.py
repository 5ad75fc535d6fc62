"""Relative change of DCT coefficients (RCT, Wang et al. 2020, Eq. 8), by three estimators.

As defined, the mean of a ratio whose denominator comes near zero has no finite mean; the median of ratios and the ratio
of means are stable. None of the three means anything without the control: white noise of equal norm through the same
clip (`control`).
"""

import torch
from torch import Tensor

from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.spectrum import dct2
from spectroscope.perturbation.settings import ESTIMATORS, Estimator

_TOGETHER = 32  # images whose spectra stay in a CPU's cache


def rct_map(
    clean: Tensor,
    adversarial: Tensor,
    estimator: Estimator = "mean_of_ratios",
    channels: Channels = "each",
) -> Tensor:
    """Relative change of each DCT coefficient: (N, C, H, W) twice, C = 1 or 3 -> (H, W), in the dtype of `clean`.

    mean_of_ratios is the paper's Eq. 8: the mean over images of |change / clean|. median_of_ratios takes the median
    instead, ratio_of_means divides mean |change| by mean |clean|. With three channels, `each` pools the coefficients of
    all channels and `luminance` transforms BT.601 luminance. Coefficients that are zero in the clean image have no
    ratio: they are left out (`undefined_ratios` counts them); a coefficient that is zero everywhere gets 0. Means are
    added up `_TOGETHER` images at a time, so that memory does not grow with their number.
    """
    if estimator == "median_of_ratios":
        change, reference = spectra(clean, adversarial, channels)
        return relative_change(change, reference, estimator, change.new_ones(1, len(change)))[0]
    _check(clean, adversarial)
    above = below = 0.0
    for some, changed in zip(clean.split(_TOGETHER), adversarial.split(_TOGETHER), strict=True):
        change, reference = spectra(some, changed, channels)
        sums = _sums(change, reference, estimator, change.new_ones(1, len(change)))
        above, below = above + sums[0], below + sums[1]
    return _over(above, below).unflatten(1, clean.shape[2:])[0]


def relative_change(change: Tensor, reference: Tensor, estimator: Estimator, weights: Tensor) -> Tensor:
    """One estimator from spectra of the change and the clean images, each row counted as often as a draw says.

    (M, H, W) twice, weights (D, M) -> (D, H, W).
    """
    size = change.shape[1:]
    if estimator == "median_of_ratios":
        defined = ~_vanishing(reference)
        ratio = (change / torch.where(defined, reference, 1.0)).abs()
        values = torch.where(defined, ratio, torch.nan).flatten(1)
        return weighted_median(values, weights).nan_to_num(0.0).unflatten(1, size)
    return _over(*_sums(change, reference, estimator, weights)).unflatten(1, size)


def _sums(change: Tensor, reference: Tensor, estimator: Estimator, weights: Tensor) -> tuple[Tensor, Tensor]:
    """What a mean is the ratio of, each a sum over rows: (M, H, W) twice, weights (D, M) -> (D, H * W) twice."""
    sizes, gone = reference.abs().flatten(1), _vanishing(reference).flatten(1)
    change = change.abs().flatten(1)
    if estimator == "ratio_of_means":
        return weights @ change, weights @ sizes.masked_fill_(gone, 0.0)
    if estimator == "mean_of_ratios":
        ratio = change.div_(sizes.masked_fill_(gone, torch.inf))
        return weights @ ratio, weights.sum(1, keepdim=True) - weights @ gone.to(weights.dtype)
    raise ValueError(f"expected an estimator among {', '.join(ESTIMATORS)}, got {estimator!r}")


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Median of each column, row m counted weights[d, m] times: (M, K), (D, M) whole numbers -> (D, K).

    The mean of the two middle values where their number is even. NaN does not count; NaN where nothing does. A draw
    looks among the middle ranks alone (a third of the work) unless its median lies outside them.
    """
    ordered, order = values.mT.contiguous().sort(1)  # (K, M), NaN last
    there = (~ordered.isnan()).to(weights.dtype)
    size = len(values)
    start, stop = size // 3, size - size // 3
    below = torch.zeros_like(values).scatter_(0, order[:, :start].mT, there[:, :start].mT)  # (M, K)
    before, half = weights @ below, weights @ (~values.isnan()).to(weights.dtype) / 2  # (D, K) each
    medians = []
    for draw, passed, middle in zip(weights, before, half, strict=True):
        ranks = slice(start, stop)
        reached = (draw[order[:, ranks]] * there[:, ranks]).cumsum_(1).add_(passed[:, None])
        if (passed >= middle).any() or (reached[:, -1] <= middle).any():
            ranks, reached = slice(None), (draw[order] * there).cumsum_(1)
        ends = middle[:, None] + middle.new_tensor([0.0, 0.25])  # counts are whole: at half of them, and just above
        at = torch.searchsorted(reached, ends).clamp_max_(reached.shape[1] - 1)
        medians.append(ordered[:, ranks].gather(1, at).mean(1))
    return torch.stack(medians)


def spectra(clean: Tensor, adversarial: Tensor, channels: Channels) -> tuple[Tensor, Tensor]:
    """Spectra of the change and of the clean images, channels pooled with images: (N * C, H, W) twice."""
    _check(clean, adversarial)
    change = adversarial - clean
    if not (clean.sum().isfinite() and change.sum().isfinite()):
        raise ValueError("expected finite images, got NaN or infinity")
    return dct2(seen(change, channels)).flatten(0, 1), dct2(seen(clean, channels)).flatten(0, 1)


def undefined_ratios(clean: Tensor, channels: Channels = "each") -> int:
    """Number of clean coefficients that are zero up to rounding, so that no ratio exists: (N, C, H, W) -> count."""
    _, reference = spectra(clean, clean, channels)
    return int(_vanishing(reference).sum())


def _check(clean: Tensor, adversarial: Tensor) -> None:
    if clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] not in (1, 3):
        shapes = f"{tuple(clean.shape)} and {tuple(adversarial.shape)}"
        raise ValueError(f"expected two sets of images (N, 1 or 3, H, W) of one shape, got {shapes}")
    if len(clean) == 0:
        raise ValueError("expected at least one image, got none")


def _over(above: Tensor, below: Tensor) -> Tensor:
    """above / below, 0 where the denominator is."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1.0), 0.0)


def _vanishing(spectrum: Tensor) -> Tensor:
    """Coefficients no larger than the rounding error of the transform, measured by the image's own norm.

    On flat images of 8 to 224 pixels a side that error was at most 2.6 eps times the norm; 4 leaves a margin.
    """
    norm = spectrum.flatten(1).norm(dim=1)[:, None, None]
    return spectrum.abs() <= 4 * torch.finfo(spectrum.dtype).eps * norm
