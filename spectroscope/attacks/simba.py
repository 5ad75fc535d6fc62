"""SimBA: a black-box attack by scores alone, along the directions of an orthonormal basis (Guo et al. 2019)."""

import math
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Sizes, Step, Target, single
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.spectrum import idct2
from spectroscope.pipeline.params import Settings


class Simba(Settings):
    """Random search along the directions of an orthonormal basis by scores alone (Guo et al. 2019).

    `step_size`: l2 norm of one step. `freq_dims`: search only the coefficients of this number of lowest rows and
    columns, null for all. `eps_255`: l-inf bound of Wang et al. 2020, null for none as in Guo et al. `max_queries`: for
    one image.
    """

    method: Literal["simba"]
    basis: Literal["pixel", "dct", "random"]
    freq_dims: Count | None
    n_images: Count
    target: Target
    eps_255: Sizes | None
    step_size: Step
    max_queries: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps_255 is None else Ball("linf", single(self.eps_255) / 255)

    @model_validator(mode="after")
    def _frequencies_need_a_spectrum(self) -> "Simba":
        if self.basis != "dct" and self.freq_dims is not None:
            raise ValueError(f"expected freq_dims null where basis is {self.basis}, got {self.freq_dims}")
        return self


@torch.no_grad()
def simba(settings: Simba, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries, or the point reached when the queries ran out: (N, C, H, W) (Guo et al. 2019, Algorithm 1).

    Each image draws directions without replacement, in an order from its own generator, tries + and then - the step,
    and accepts what lowers the probability of its label, or raises that of its target. All images that still resist
    share one forward pass. Deviations: probabilities are compared as log odds, which do not saturate in float32; a step
    that fools is accepted even where it does not lower that probability; an order that is used up starts again; the
    l-inf bound and the clip to [0, 1] (Wang et al. 2020; the original has neither in its algorithm).
    """
    channels, height, width = x.shape[1:]
    rows, columns = _searched(settings.freq_dims, height, width)
    eps = settings.ball.eps if settings.ball else math.inf
    draws = []
    for generator in generators:
        order = torch.randperm(channels * rows * columns, generator=generator)[: settings.max_queries]
        bases = (_basis(settings.basis, size, generator) for size in (height, width))
        draws.append((order, *bases))
    order, vertical, horizontal = (torch.stack(images).to(x.device) for images in zip(*draws, strict=True))
    place, sign = torch.zeros_like(model.labels), torch.ones_like(model.labels)
    z = x.clone()
    objective = model.objective(model(x))
    resisting = torch.arange(len(x), device=x.device)

    for _ in range(settings.max_queries - 1):
        if not len(resisting):
            break
        index = order[resisting, place[resisting] % order.shape[1]]  # (m,) into (channels, rows, columns)
        channel, row, column = index // (rows * columns), index // columns % rows, index % columns
        step = sign[resisting] * settings.step_size  # (m,)
        plane = (step[:, None] * vertical[resisting, row])[:, :, None] * horizontal[resisting, column][:, None, :]
        tried, image = z[resisting], x[resisting]
        tried[torch.arange(len(resisting), device=x.device), channel] += plane
        tried = (image + (tried - image).clamp(-eps, eps)).clamp(0, 1)
        logits = model(tried, resisting)
        tried_objective = model.objective(logits, resisting)
        fooled = model.fooled(logits, resisting)
        accepted = fooled | (tried_objective < objective[resisting])
        z[resisting[accepted]], objective[resisting[accepted]] = tried[accepted], tried_objective[accepted]
        next_direction = accepted | (sign[resisting] < 0)
        place[resisting] += next_direction
        sign[resisting] = torch.where(next_direction, 1, -1)
        resisting = resisting[~fooled]
    return z


def _searched(freq_dims: int | None, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the coefficients that are searched."""
    if freq_dims is None:
        return height, width
    if freq_dims > min(height, width):
        raise ValueError(f"expected freq_dims <= {min(height, width)} for {height} x {width} images, got {freq_dims}")
    return freq_dims, freq_dims


def _basis(kind: Literal["pixel", "dct", "random"], size: int, generator: torch.Generator) -> Tensor:
    """Orthonormal vectors of one axis as rows: (size, size). A direction is the outer product of two of them.

    random: uniform over all orthonormal bases (QR of a normal matrix, signs by the diagonal: Mezzadri 2007, section 4),
    so that its directions favour no frequency.
    """
    if kind == "pixel":
        return torch.eye(size)
    if kind == "dct":
        return idct2(torch.eye(size)[:, None, :])[:, 0]
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return (q * r.diagonal().sign()).T
