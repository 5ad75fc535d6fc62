"""Controls: perturbations of exactly an attack's size that know nothing of the network and never query it."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf
from spectroscope.frequency.balls import norms
from spectroscope.frequency.exact_norm import clipped_to
from spectroscope.frequency.spectrum import dft2, idft2
from spectroscope.pipeline.params import Distinct, Settings

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]  # (C, H, W), a generator -> (C, H, W)


class _Noise(Settings):
    """Controls whose norm after the clip to [0, 1] is exactly eps; each of `kinds` is a variant."""

    method: Literal["noise"]
    n_images: Count
    kinds: Annotated[list[Literal["gaussian", "uniform", "sign", "pink", "other_image"]], Field(min_length=1), Distinct]


class NoiseLinf(InLinf, _Noise):
    """Controls of a given l-inf norm."""


class NoiseL2(InL2, _Noise):
    """Controls of a given l2 norm."""


Noise = Annotated[NoiseLinf | NoiseL2, Field(discriminator="norm")]


def noise(settings: Noise, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """x plus noise whose norm after the clip to [0, 1] is eps for each image: (N, C, H, W).

    `other_image` moves towards the image's partner. An image that is so near black or white along its noise, or so near
    its partner, that nothing of norm eps fits into [0, 1] stays as it is: the control has failed. ValueError where that
    holds for all images.
    """
    (kind,) = settings.kinds
    if kind == "other_image":
        directions = model.partners - x
    else:
        directions = torch.stack([KINDS[kind](x.shape[1:], generator) for generator in generators]).to(x)
    eps = settings.ball.eps
    change = clipped_to(x, directions, settings.norm, torch.full_like(x[:, 0, 0, 0], eps))
    found = norms(change, settings.norm)
    fits = found >= (1 - 1e-4) * eps
    if not fits.any():
        largest = float(found.max())
        raise ValueError(
            f"{kind}: expected an eps that the clip to [0, 1] leaves room for, {largest:g} at most; got {eps:g}"
        )
    return torch.where(fits[:, None, None, None], x + change, x)


def gaussian(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent normal pixels: a flat spectrum."""
    return torch.randn(shape, generator=generator)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent pixels, uniform around 0."""
    return 2 * torch.rand(shape, generator=generator) - 1


def sign(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent pixels of one size and random sign: FGSM of a gradient that carries no information."""
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1


def pink(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Normal noise whose mean power falls as 1 / f, f in cycles per pixel; no constant part."""
    height, width = shape[-2:]
    f = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    amplitude = torch.where(f > 0, f, torch.inf).rsqrt()
    return idft2(dft2(gaussian(shape, generator)) * amplitude, width)


KINDS: dict[str, Draw] = {"gaussian": gaussian, "uniform": uniform, "sign": sign, "pink": pink}
