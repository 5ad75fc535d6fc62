"""Which frequencies a perturbation changes, beside what plain noise of the same size would change.

RCT (Wang et al. 2020, Eq. 8) is the relative change of DCT coefficients. As defined, the mean of a ratio whose
denominator comes near zero has no finite mean; the median of ratios and the ratio of means are stable. None of the
three means anything without the control: white noise of equal norm through the same clip.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from spectroscope.noise import clipped_to
from spectroscope.params import Settings
from spectroscope.spectrum import dct2
from spectroscope.stats import StatisticsSettings, interval

Estimator = Literal["mean_of_ratios", "median_of_ratios", "ratio_of_means"]
Channels = Literal["each", "luminance"]
ESTIMATORS: tuple[Estimator, ...] = ("mean_of_ratios", "median_of_ratios", "ratio_of_means")
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


class PerturbationSettings(Settings):
    """How relative changes are computed, the seed of the control noise, and the number of draws behind an interval."""

    channels: Channels
    noise_seed: Annotated[int, Field(ge=0)]
    resamples: Annotated[int, Field(ge=20)]


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
    ratio: they are left out (`undefined_ratios` counts them); a coefficient that is zero everywhere gets 0.
    """
    return relative_change(*spectra(clean, adversarial, channels), estimator)


def relative_change(change: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """One estimator of relative change from spectra of the change and the clean images: (M, H, W) twice -> (H, W)."""
    defined = ~_vanishing(reference)
    if estimator == "ratio_of_means":
        total = torch.where(defined, reference.abs(), 0.0).sum(0)
        return torch.where(total > 0, change.abs().sum(0) / torch.where(total > 0, total, 1.0), 0.0)
    ratio = torch.where(defined, change / torch.where(defined, reference, 1.0), torch.nan).abs()
    if estimator == "mean_of_ratios":
        return ratio.nanmean(0).nan_to_num(0.0)
    if estimator == "median_of_ratios":
        rows = ratio.flatten(1).mT.contiguous()  # nanmedian is the lower of two middle values; its mirror the upper
        middle = (rows.nanmedian(1).values - (-rows).nanmedian(1).values) / 2
        return middle.nan_to_num(0.0).view(ratio.shape[1:])
    raise ValueError(f"expected an estimator among {', '.join(ESTIMATORS)}, got {estimator!r}")


def spectra(clean: Tensor, adversarial: Tensor, channels: Channels) -> tuple[Tensor, Tensor]:
    """Spectra of the change and of the clean images, channels pooled with images: (N * C, H, W) twice."""
    if clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] not in (1, 3):
        shapes = f"{tuple(clean.shape)} and {tuple(adversarial.shape)}"
        raise ValueError(f"expected two sets of images (N, 1 or 3, H, W) of one shape, got {shapes}")
    if len(clean) == 0:
        raise ValueError("expected at least one image, got none")
    change = adversarial - clean
    if not (clean.isfinite().all() and change.isfinite().all()):
        raise ValueError("expected finite images, got NaN or infinity")
    if channels == "luminance" and clean.shape[1] == 3:
        weights = clean.new_tensor(LUMINANCE)[:, None, None]
        change, clean = (change * weights).sum(1, keepdim=True), (clean * weights).sum(1, keepdim=True)
    elif channels not in ("each", "luminance"):
        raise ValueError(f"expected channels each or luminance, got {channels!r}")
    return dct2(change).flatten(0, 1), dct2(clean).flatten(0, 1)


def undefined_ratios(clean: Tensor, channels: Channels = "each") -> int:
    """Number of clean coefficients that are zero up to rounding, so that no ratio exists: (N, C, H, W) -> count."""
    _, reference = spectra(clean, clean, channels)
    return int(_vanishing(reference).sum())


def relative_changes(clean: Tensor, adversarial: Tensor, settings: PerturbationSettings) -> pd.DataFrame:
    """The map of every estimator as rows: estimator, u, v, value."""
    change, reference = spectra(clean, adversarial, settings.channels)
    height, width = clean.shape[-2:]
    u, v = np.indices((height, width)).reshape(2, -1)
    values = {estimator: relative_change(change, reference, estimator).flatten().numpy() for estimator in ESTIMATORS}
    return pd.concat(pd.DataFrame({"estimator": name, "u": u, "v": v, "value": map_}) for name, map_ in values.items())


def profile(
    clean: Tensor,
    adversarial: Tensor,
    units: np.ndarray,
    index: Tensor,
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """Power share and relative change by shell: rows measure, shell, mean, low, high, n_images, n_seeds.

    units (N, 2): seed and image of each perturbation; the bootstrap draws both, crossed. `mean` is the statistic on all
    perturbations. n_images counts perturbations (an image fooled for three seeds counts three times).
    """
    change, reference = spectra(clean, adversarial, settings.channels)
    change, reference = change.unflatten(0, (len(clean), -1)), reference.unflatten(0, (len(clean), -1))
    power = power_by_shell(adversarial - clean, index)

    def statistic(rows: Tensor) -> np.ndarray:  # (measures, shells)
        parts = change[rows].flatten(0, 1), reference[rows].flatten(0, 1)
        relative = [mean_by_shell(relative_change(*parts, estimator), index) for estimator in ESTIMATORS]
        return torch.stack([power[rows].mean(0), *relative]).numpy()

    rows = resampled_rows(units, settings.resamples, statistics)
    low, high = interval(np.stack([statistic(drawn) for drawn in rows]), statistics)
    whole = statistic(torch.arange(len(clean)))
    return pd.concat(
        pd.DataFrame({"measure": name, "shell": range(len(mean)), "mean": mean, "low": below, "high": above})
        for name, mean, below, above in zip(("power", *ESTIMATORS), whole, low, high, strict=True)
    ).assign(n_images=len(clean), n_seeds=len(np.unique(units[:, 0])))


def resampled_rows(units: np.ndarray, resamples: int, statistics: StatisticsSettings) -> Iterator[Tensor]:
    """Rows of each bootstrap draw: a row counts as often as its seed times its image; empty draws are redone."""
    _, seed = np.unique(units[:, 0], return_inverse=True)
    _, image = np.unique(units[:, 1], return_inverse=True)
    rng = np.random.default_rng(statistics.seed)
    yielded = 0
    while yielded < resamples:
        times = [np.bincount(rng.integers(0, n := part.max() + 1, n), minlength=n)[part] for part in (seed, image)]
        rows = np.repeat(np.arange(len(units)), times[0] * times[1])
        if len(rows):
            yielded += 1
            yield torch.from_numpy(rows)


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

    (N, C, H, W) twice -> (N, C, H, W), the change that is left after the clip: its norm is the perturbation's, but
    where the clip leaves no room for it.
    """
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
    return clipped_to(clean, noise, "l2", perturbations.flatten(1).norm(dim=1))


def _vanishing(spectrum: Tensor) -> Tensor:
    """Coefficients no larger than the rounding error of the transform, measured by the image's own norm.

    On flat images of 8 to 224 pixels a side that error was at most 2.6 eps times the norm; 4 leaves a margin.
    """
    norm = spectrum.flatten(1).norm(dim=1)[:, None, None]
    return spectrum.abs() <= 4 * torch.finfo(spectrum.dtype).eps * norm
