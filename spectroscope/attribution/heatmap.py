"""Fourier heat maps: what one wave, added to an image, does to the prediction.

A basis image U_ij is real, of unit l2 norm, and has a DFT at (i, j) and its mirror alone (Yin et al. 2019, Sec. 3). It
equals that of the mirror, so that half of the plane is computed and the other half is its mirror image.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from spectroscope.attribution.scores import check_images, checked
from spectroscope.pipeline.progress import track

Model = Callable[[Tensor], Tensor]
Value = Literal["error", "loss", "logit", "changed"]


def half_plane(height: int, width: int) -> Tensor:
    """Row and column of one of each coefficient and its mirror, in the layout of an unshifted FFT: (D, 2)."""
    i, j = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    here, there = i * width + j, (-i % height) * width + (-j % width)
    return (here <= there).nonzero()


def waves(places: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """The basis images U_ij, cosines of unit l2 norm: (D, 2) -> (D, H, W)."""
    rows, columns = torch.arange(height), torch.arange(width)
    i, j = places[:, 0, None, None], places[:, 1, None, None]
    turns = (i * rows[:, None] % height).double() / height + (j * columns % width).double() / width
    wave = torch.cos(2 * math.pi * turns)
    return (wave / wave.flatten(1).norm(dim=1)[:, None, None]).to(dtype)


@torch.no_grad()
def fourier_heat_map(
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: Literal["l2", "linf"],
    value: Value,
    clip: bool,
    generator: torch.Generator,
    chunk: int,
) -> Tensor:
    """What each wave does to each image: (N, H, W), laid out as an unshifted FFT (`centred` puts DC in the middle).

    l2: r eps U_ij is added to every channel, r = +-1 drawn for each wave, image and channel (Yin et al. 2019). linf:
    the wave is scaled to a largest value of eps and has one sign (single Fourier attack, Tsuzuku & Sato 2019). clip: to
    [0, 1] afterwards. value: `error` (1 where the prediction is wrong), `loss` (cross-entropy), `logit` (its drop),
    `changed` (1 where the prediction is no longer that of the image). The mean over images is the map.
    """
    n, channels, height, width = images.shape
    check_images(images, labels, torch.zeros(height, width, dtype=torch.int64))
    labels = labels.to(images.device)
    places = half_plane(height, width)
    basis = waves(places, height, width, images.dtype)
    if norm == "linf":
        basis = basis / basis.abs().flatten(1).amax(1)[:, None, None]
        signs = torch.ones(len(places), n, channels, dtype=images.dtype)
    else:
        signs = 2.0 * torch.randint(0, 2, (len(places), n, channels), generator=generator).to(images.dtype) - 1
    found = images.new_empty(len(places), n)
    for start in range(0, n, max(1, chunk)):
        x, y = images[start : start + chunk], labels[start : start + chunk]
        clean = checked(model(x), len(x))
        at_once = max(1, chunk // len(x))  # few images: several waves in one pass
        for first in track(range(0, len(places), at_once), "Fourier heat map"):
            some = slice(first, first + at_once)
            wave = eps * basis[some, None, None] * signs[some, start : start + chunk, :, None, None]
            moved = x + wave.to(images.device)  # (waves, n, C, H, W)
            moved = (moved.clamp(0, 1) if clip else moved).flatten(0, 1)
            times = len(moved) // len(x)
            logits = checked(model(moved), len(moved))
            result = _value(logits, y.repeat(times), clean.repeat(times, 1), value)
            found[some, start : start + chunk] = result.view(times, len(x)).to(found.dtype)
    full = images.new_empty(n, height, width)
    i, j = places.unbind(1)
    full[:, i, j] = full[:, -i % height, -j % width] = found.mT
    return full


def centred(maps: Tensor) -> Tensor:
    """The same maps (..., H, W) with DC at [H // 2, W // 2]."""
    return torch.fft.fftshift(maps, dim=(-2, -1))


def _value(logits: Tensor, labels: Tensor, clean: Tensor, value: Value) -> Tensor:
    if value == "error":
        return logits.argmax(1) != labels
    if value == "changed":
        return logits.argmax(1) != clean.argmax(1)
    if value == "loss":
        return F.cross_entropy(logits, labels, reduction="none")
    if value == "logit":
        return (clean - logits).gather(1, labels[:, None])[:, 0]
    raise ValueError(f"expected value error, loss, logit or changed, got {value!r}")
