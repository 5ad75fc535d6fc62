"""PGD: projected gradient steps in an l-inf, l2 or l1 ball, with or without momentum, sign and early stop."""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Sizes, Step, StepsInL2, StepsInLinf, Target, single
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings


class _Pgd(Settings):
    """Projected gradient steps (Madry et al. 2018).

    `direction`: of a step, see `balls.step`; Madry et al. 2018 take the sign in l-inf and l2 in l2. `momentum`: the
    factor that the accumulated gradient keeps at each step, 0 for none (Dong et al. 2018, Eq. 6). `stop_early`: an
    image that is fooled takes no further step, which is faster, but leaves the perturbation nearer to the boundary.
    """

    method: Literal["pgd"]
    n_images: Count
    target: Target
    steps: Count
    random_start: bool
    direction: Literal["sign", "l2", "raw"]
    momentum: Annotated[float, Field(ge=0)]
    stop_early: bool

    @model_validator(mode="after")
    def _raw_has_no_momentum(self) -> "_Pgd":
        if self.direction == "raw" and self.momentum:
            raise ValueError(f"expected momentum 0 where direction is raw, got {self.momentum:g}")
        return self


class PgdLinf(StepsInLinf, _Pgd):
    """PGD in an l-inf ball."""


class PgdL2(StepsInL2, _Pgd):
    """PGD in an l2 ball."""


class PgdL1(_Pgd):
    """PGD in an l1 ball."""

    norm: Literal["l1"]
    eps: Sizes
    step_size: Step

    @property
    def ball(self) -> Ball:
        return Ball("l1", single(self.eps))


Pgd = Annotated[PgdLinf | PgdL2 | PgdL1, Field(discriminator="norm")]


def pgd(settings: Pgd, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The last iterate or, with `stop_early`, the first that fools: (N, C, H, W) (Madry et al. 2018, section 2.1).

    Each image starts at itself or at a random point of the ball, drawn from its own generator, and is projected to the
    ball and to [0, 1] after each step.
    """
    norm, eps = settings.ball
    loss = losses.cross_entropy(model)
    rows, adversaries = torch.arange(len(x), device=x.device), x.clone()
    z = balls.random_start(x, norm, eps, generators) if settings.random_start else x.clone()
    accumulated = torch.zeros_like(x)
    for _ in range(settings.steps):
        logits, _, gradient = losses.value_and_gradient(model, z, rows, loss)
        if settings.stop_early and (fooled := model.fooled(logits, rows)).any():
            adversaries[rows[fooled]] = z[fooled]
            rows, x, z, accumulated, gradient = (values[~fooled] for values in (rows, x, z, accumulated, gradient))
            if not len(rows):
                return adversaries
        if settings.momentum:
            gradient = accumulated = settings.momentum * accumulated + balls.scaled(gradient, "l1", 1.0)
        change = z - x + balls.step(gradient, settings.direction, norm, settings.step_size)
        z = (x + balls.project(change, norm, eps)).clamp(0, 1)
    adversaries[rows] = z
    return adversaries
