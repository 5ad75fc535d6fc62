"""SPSA: black-box Adam steps along a gradient estimated from probes of random signs (Uesato et al. 2018)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.gradient_estimation import ProbeSettings, descend
from spectroscope.attacks.sizes import Count, StepsInL2, StepsInLinf, Target

_BETAS, _EPSILON = (0.9, 0.999), 1e-8  # of Adam (Kingma & Ba 2015)


class _Spsa(ProbeSettings):
    """Adam along a gradient estimated from `samples` probes, `radius` away in every pixel (Uesato et al. 2018).

    The step size is Adam's: how far a single pixel moves, in the l2 norm too.
    """

    method: Literal["spsa"]
    n_images: Count
    target: Target


class SpsaLinf(StepsInLinf, _Spsa):
    """SPSA in an l-inf ball."""


class SpsaL2(StepsInL2, _Spsa):
    """SPSA in an l2 ball."""


Spsa = Annotated[SpsaLinf | SpsaL2, Field(discriminator="norm")]


@torch.no_grad()
def spsa(settings: Spsa, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Projected Adam steps along an estimated gradient: (N, C, H, W) (Uesato et al. 2018, section 4.1, Algorithm 1).

    Probes of random signs in pairs. See `gradient_estimation.descend`.
    """
    mean, square, steps = torch.zeros_like(x), torch.zeros_like(x), 0

    def directions(rows: Tensor) -> Tensor:
        bits = [torch.randint(0, 2, x.shape[1:], generator=generators[row]) for row in rows.tolist()]
        return (torch.stack(bits).float() * 2 - 1).to(x)

    def step(gradient: Tensor, rows: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        mean[rows] = _BETAS[0] * mean[rows] + (1 - _BETAS[0]) * gradient
        square[rows] = _BETAS[1] * square[rows] + (1 - _BETAS[1]) * gradient.square()
        unbiased_mean, unbiased_square = mean[rows] / (1 - _BETAS[0] ** steps), square[rows] / (1 - _BETAS[1] ** steps)
        return -settings.step_size * unbiased_mean / (unbiased_square.sqrt() + _EPSILON)

    return descend(settings, settings.ball, model, x, directions, step)
