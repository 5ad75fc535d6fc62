"""Fourier heat maps and the single Fourier attack: the effect on the prediction of one wave added to an image.

A basis image U_ij is real, has unit l2 norm, and its DFT is non-zero only at (i, j) and its mirror (Yin et al. 2019,
Sec. 3). U_ij of a frequency and of its mirror are equal, so half of the plane is computed and copied to the other half.
"""

import math
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from spectroscope.attribution.inputs import Model, check_images, checked_logits
from spectroscope.attribution.task import Attribution, Task, averaged_by_band
from spectroscope.frequency.spectrum import mirrored
from spectroscope.pipeline.params import Settings
from spectroscope.pipeline.progress import track

Norm = Literal["l2", "linf"]
Value = Literal["error", "loss", "logit", "changed"]


@torch.no_grad()
def fourier_heat_map(  # nine arguments: a public function; each option but `chunk` changes the result
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: Norm,
    value: Value,
    clip: bool,
    generator: torch.Generator,
    chunk: int = 64,
) -> Tensor:
    """Effect of each wave on each image: (N, H, W), laid out as an unshifted FFT (`centred` puts DC in the middle).

    l2: r eps U_ij is added to every channel, r = +-1 drawn for each wave, image and channel (Yin et al. 2019). linf:
    the wave is scaled to a largest value of eps and always has sign + (single Fourier attack, Tsuzuku & Sato 2019).
    clip: to [0, 1] afterwards. value: `error` (1 where the prediction is wrong), `loss` (cross-entropy), `logit` (its
    drop), `changed` (1 where the prediction is no longer that of the image). The mean over images is the map.
    ValueError for another norm or value.

    >>> wave = torch.cos(2 * math.pi * 3 * torch.arange(8) / 8)  # three periods along the width
    >>> model = lambda x: (x * wave).sum((1, 2, 3))[:, None].square()  # one logit
    >>> images, labels = torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64)
    >>> options = {"eps": 0.1, "norm": "l2", "value": "logit", "clip": False}
    >>> maps = fourier_heat_map(model, images, labels, **options, generator=torch.Generator())
    >>> (centred(maps).abs().mean(0) > 1e-3).nonzero().tolist()  # DC is at (4, 4)
    [[4, 1], [4, 7]]
    """
    check_images(images, labels)
    if norm not in get_args(Norm):
        raise ValueError(f"expected norm {' or '.join(get_args(Norm))}, got {norm!r}")
    n, channels, height, width = images.shape
    labels = labels.to(images.device)
    frequencies = half_plane(height, width)
    basis = waves(frequencies, height, width, images.dtype)
    if norm == "linf":
        basis = basis / basis.abs().flatten(1).amax(1)[:, None, None]
        signs = torch.ones(len(frequencies), n, channels, dtype=images.dtype)
    else:
        signs = 2.0 * torch.randint(0, 2, (len(frequencies), n, channels), generator=generator).to(images.dtype) - 1
    half = images.new_empty(len(frequencies), n)
    for start in range(0, n, max(1, chunk)):
        x, y = images[start : start + chunk], labels[start : start + chunk]
        clean = checked_logits(model, x)
        step = max(1, chunk // len(x))  # with few images, several waves fit in one forward pass
        for first in track(range(0, len(frequencies), step), "Fourier heat map"):
            batch = slice(first, first + step)
            noise = eps * basis[batch, None, None] * signs[batch, start : start + chunk, :, None, None]
            noisy = x + noise.to(images.device)  # (waves, n, C, H, W)
            noisy = (noisy.clamp(0, 1) if clip else noisy).flatten(0, 1)
            repeats = len(noisy) // len(x)
            effect = _effect(checked_logits(model, noisy), y.repeat(repeats), clean.repeat(repeats, 1), value)
            half[batch, start : start + chunk] = effect.view(repeats, len(x)).to(half.dtype)
    maps = images.new_empty(n, height, width)
    i, j = frequencies.unbind(1)
    maps[:, i, j] = maps[:, -i % height, -j % width] = half.mT
    return maps


def half_plane(height: int, width: int) -> Tensor:
    """Row and column of one of each coefficient and its mirror, in the layout of an unshifted FFT: (D, 2)."""
    place = torch.arange(height * width).view(height, width)
    return (place <= mirrored(place)).nonzero()


def waves(frequencies: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """The basis images U_ij, cosines of unit l2 norm: (D, 2) -> (D, H, W)."""
    rows, columns = torch.arange(height), torch.arange(width)
    i, j = frequencies[:, 0, None, None], frequencies[:, 1, None, None]
    # The remainder is taken in integers: a large angle would lose digits.
    turns = (i * rows[:, None] % height).double() / height + (j * columns % width).double() / width
    wave = torch.cos(2 * math.pi * turns)
    return (wave / wave.flatten(1).norm(dim=1)[:, None, None]).to(dtype)


def centred(maps: Tensor) -> Tensor:
    """Maps (..., H, W) shifted so that DC is at [H // 2, W // 2]."""
    return torch.fft.fftshift(maps, dim=(-2, -1))


def _effect(logits: Tensor, labels: Tensor, clean: Tensor, value: Value) -> Tensor:
    if value == "error":
        return logits.argmax(1) != labels
    if value == "changed":
        return logits.argmax(1) != clean.argmax(1)
    if value == "loss":
        return F.cross_entropy(logits, labels, reduction="none")
    if value == "logit":
        return (clean - logits).gather(1, labels[:, None])[:, 0]
    raise ValueError(f"expected value error, loss, logit or changed, got {value!r}")


class HeatMapSettings(Settings):
    """Fourier heat map: a wave of l2 norm eps (pixel values) added to every channel."""

    method: Literal["heat_map"]
    eps: Annotated[float, Field(ge=0)]
    value: Literal["error", "loss", "logit"]
    clip: bool


def heat_map(task: Task, settings: HeatMapSettings) -> Attribution:
    return _by_band(task, settings.eps, "l2", settings.value, settings.clip)


class FourierAttackSettings(Settings):
    """Single Fourier attack: one wave of l-inf norm eps_255 for all images, and how often it changes a prediction."""

    method: Literal["fourier_attack"]
    eps_255: Annotated[float, Field(ge=0)]
    clip: bool


def fourier_attack(task: Task, settings: FourierAttackSettings) -> Attribution:
    return _by_band(task, settings.eps_255 / 255, "linf", "changed", settings.clip)


def _by_band(task: Task, eps: float, norm: Norm, value: Value, clip: bool) -> Attribution:
    """Mean effect of the waves of each band."""
    network, generator = (task.model, task.images, task.labels), task.generator("heat_map")
    maps = fourier_heat_map(*network, eps=eps, norm=norm, value=value, clip=clip, generator=generator, chunk=task.chunk)
    return averaged_by_band(maps, task.dft_index)
