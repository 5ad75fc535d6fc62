"""NES: black-box projected steps along a gradient estimated from normal probes (Ilyas et al. 2018)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.gradient_estimation import ProbeSettings, descend
from spectroscope.attacks.sizes import Count, StepsInL2, StepsInLinf, Target
from spectroscope.frequency import balls


class _Nes(ProbeSettings):
    """Steps along a gradient estimated from `samples` probes, `radius` their standard deviation (Ilyas et al. 2018)."""

    method: Literal["nes"]
    n_images: Count
    target: Target
    momentum: Annotated[float, Field(ge=0, lt=1)]


class NesLinf(StepsInLinf, _Nes):
    """NES in an l-inf ball."""


class NesL2(StepsInL2, _Nes):
    """NES in an l2 ball."""


Nes = Annotated[NesLinf | NesL2, Field(discriminator="norm")]


@torch.no_grad()
def nes(settings: Nes, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Projected steps along an estimated gradient with momentum: (N, C, H, W) (Ilyas et al. 2018, sections 2.2-2.3).

    Normal probes in pairs; a sign step in l-inf, a normalised one in l2. See `gradient_estimation.descend`.
    """
    velocity = torch.zeros_like(x)

    def directions(rows: Tensor) -> Tensor:
        return torch.stack([torch.randn(x.shape[1:], generator=generators[row]) for row in rows.tolist()]).to(x)

    def step(gradient: Tensor, rows: Tensor) -> Tensor:
        velocity[rows] = settings.momentum * velocity[rows] + gradient
        direction: balls.Direction = "sign" if settings.norm == "linf" else "l2"
        return balls.step(-velocity[rows], direction, settings.norm, settings.step_size)

    return descend(settings, settings.ball, model, x, directions, step)
