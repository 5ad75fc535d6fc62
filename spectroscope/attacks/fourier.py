"""Single Fourier attack: one Fourier direction for all images (Tsuzuku & Sato 2019)."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf
from spectroscope.frequency import balls
from spectroscope.pipeline.params import Settings

Frequency = Annotated[int, Field(ge=0)]


class _Fourier(Settings):
    """One Fourier direction for all images (Tsuzuku & Sato 2019).

    `row`, `column`: its frequency in cycles per image height and width.
    """

    method: Literal["fourier"]
    n_images: Count
    row: Frequency
    column: Frequency


class FourierLinf(InLinf, _Fourier):
    """A Fourier direction of a given l-inf norm."""


class FourierL2(InL2, _Fourier):
    """A Fourier direction of a given l2 norm."""


Fourier = Annotated[FourierLinf | FourierL2, Field(discriminator="norm")]


def fourier(settings: Fourier, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """One Fourier direction of norm eps, the same for all images and channels, clipped to [0, 1]: (N, C, H, W).

    cos + sin of 2 pi (row h / H + column w / W) (Tsuzuku & Sato 2019, section 4): real, and no direction vanishes. Its
    energy lies in one DFT coefficient and its mirror, except for what the clip spreads. No query, no randomness.
    """
    height, width = x.shape[-2:]
    for name, frequency, size in (("row", settings.row, height), ("column", settings.column, width)):
        if frequency >= size:
            raise ValueError(
                f"{name}: expected a frequency below {size} for {height} x {width} images, got {frequency}"
            )
    turns = settings.row * torch.arange(height)[:, None] / height + settings.column * torch.arange(width) / width
    wave = (torch.cos(2 * math.pi * turns) + torch.sin(2 * math.pi * turns)).expand(1, *x.shape[1:])
    return (x + balls.scaled(wave, *settings.ball).to(x)).clamp(0, 1)
