"""Which frequencies a perturbation changes, beside what plain noise of the same size would change.

RCT (Wang et al. 2020, Eq. 8) is the relative change of DCT coefficients. As defined, the mean of a ratio whose
denominator comes near zero has no finite mean; the median of ratios and the ratio of means are stable. None of the
three means anything without the control: white noise of equal norm through the same clip.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.params import Settings
from spectroscope.spectrum import dct2

Estimator = Literal["mean_of_ratios", "median_of_ratios", "ratio_of_means"]
ESTIMATORS: tuple[Estimator, ...] = ("mean_of_ratios", "median_of_ratios", "ratio_of_means")
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


class PerturbationSettings(Settings):
    """How relative changes are computed, and the seed of the control noise."""

    channels: Literal["each", "luminance"]
    noise_seed: Annotated[int, Field(ge=0)]


def rct_map(
    clean: Tensor,
    adversarial: Tensor,
    estimator: Estimator = "mean_of_ratios",
    channels: Literal["each", "luminance"] = "each",
) -> Tensor:
    """Relative change of each DCT coefficient: (N, C, H, W) twice, C = 1 or 3 -> (H, W), in the dtype of `clean`.

    mean_of_ratios is the paper's Eq. 8: the mean over images of |change / clean|. median_of_ratios takes the median
    instead, ratio_of_means divides mean |change| by mean |clean|. With three channels, `each` pools the coefficients of
    all channels and `luminance` transforms BT.601 luminance. Coefficients that are zero in the clean image have no
    ratio: they are left out (`undefined_ratios` counts them); a coefficient that is zero everywhere gets 0.
    """
    change, reference = _spectra(clean, adversarial, channels)
    if estimator == "ratio_of_means":
        total = reference.abs().sum(0)
        return torch.where(total > 0, change.abs().sum(0) / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)
    defined = ~_vanishing(reference)
    ratio = torch.where(defined, change / torch.where(defined, reference, 1.0), torch.nan).abs()
    if estimator == "mean_of_ratios":
        return ratio.nanmean(0).nan_to_num(0.0)
    if estimator == "median_of_ratios":
        return ratio.nanquantile(0.5, dim=0).nan_to_num(0.0)
    raise ValueError(f"expected an estimator among {', '.join(ESTIMATORS)}, got {estimator!r}")


def undefined_ratios(clean: Tensor, channels: Literal["each", "luminance"] = "each") -> int:
    """Number of clean coefficients that are zero up to rounding, so that no ratio exists: (N, C, H, W) -> count."""
    _, reference = _spectra(clean, clean, channels)
    return int(_vanishing(reference).sum())


def power_by_shell(perturbations: Tensor, index: Tensor) -> Tensor:
    """Share of each perturbation's power (squared DCT coefficients) in each shell: (N, C, H, W) -> (N, shells).

    `index` (H, W) as of `spectrum.shells`. Rows sum to 1; the row of a perturbation that is zero is NaN.
    """
    power = dct2(perturbations).square().sum(1).flatten(1)  # (N, H * W)
    shells = int(index.max()) + 1
    by_shell = power.new_zeros(len(power), shells).index_add_(1, index.flatten().to(power.device), power)
    return by_shell / by_shell.sum(1, keepdim=True)


def mean_by_shell(values: Tensor, index: Tensor) -> Tensor:
    """Mean of a map (H, W) over the coefficients of each shell: (shells,)."""
    shells = int(index.max()) + 1
    sums = values.new_zeros(shells).index_add_(0, index.flatten(), values.flatten())
    return sums / torch.bincount(index.flatten(), minlength=shells)


def matched_noise(clean: Tensor, perturbations: Tensor, generator: torch.Generator) -> Tensor:
    """The control: white noise of each perturbation's l2 norm, added to the image and clipped to [0, 1] like it.

    (N, C, H, W) twice -> (N, C, H, W), the change that is left after the clip. The noise is scaled up until its norm
    after the clip is the perturbation's (relative error below 1e-3, where the clip leaves room for it).
    """
    target = perturbations.flatten(1).norm(dim=1)[:, None, None, None]
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
    noise = noise / noise.flatten(1).norm(dim=1)[:, None, None, None]
    scale = target.clone()
    for _ in range(20):
        clipped = (clean + scale * noise).clamp(0, 1) - clean
        norm = clipped.flatten(1).norm(dim=1)[:, None, None, None]
        if torch.all((norm - target).abs() <= 1e-3 * target):
            break
        scale = torch.where(norm > 0, scale * target / norm.clamp_min(torch.finfo(norm.dtype).tiny), scale)
    return clipped


def _spectra(clean: Tensor, adversarial: Tensor, channels: str) -> tuple[Tensor, Tensor]:
    """Spectra of the change and of the clean images, channels pooled with images: (N * C, H, W) twice."""
    if clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] not in (1, 3):
        shapes = f"{tuple(clean.shape)} and {tuple(adversarial.shape)}"
        raise ValueError(f"expected two sets of images (N, 1 or 3, H, W) of one shape, got {shapes}")
    if len(clean) == 0:
        raise ValueError("expected at least one image, got none")
    change = adversarial - clean
    if channels == "luminance" and clean.shape[1] == 3:
        weights = clean.new_tensor(LUMINANCE)[:, None, None]
        change, clean = (change * weights).sum(1, keepdim=True), (clean * weights).sum(1, keepdim=True)
    elif channels not in ("each", "luminance"):
        raise ValueError(f"expected channels each or luminance, got {channels!r}")
    return dct2(change).flatten(0, 1), dct2(clean).flatten(0, 1)


def _vanishing(spectrum: Tensor) -> Tensor:
    """Coefficients no larger than the rounding error of the transform, measured by the image's own norm."""
    norm = spectrum.flatten(1).norm(dim=1)[:, None, None]
    return spectrum.abs() <= norm * torch.finfo(spectrum.dtype).eps
