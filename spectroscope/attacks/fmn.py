"""FMN: small l2 or l-inf perturbations by steps inside a ball whose radius adapts (Pintor et al. 2021)."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.boundaries import DUAL
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.nearest import keep_nearest
from spectroscope.attacks.sizes import Count, Step, Target, Unbounded
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms

_LAST_STEP = 0.01  # share of the first step that is left at the end
_LAST_GAMMA = 0.001
_OVERSHOOT = 1.2  # of the estimated distance to the boundary


class Fmn(Unbounded):
    """The smallest change found in `steps` steps (Pintor et al. 2021).

    `relative_step`: size of the first step in radii; `gamma`: share by which the radius shrinks where the iterate fools
    and grows where not (0.05 at first in the paper). Both fall along a cosine.
    """

    method: Literal["fmn"]
    norm: Literal["linf", "l2"]
    n_images: Count
    target: Target
    relative_step: Step
    gamma: Annotated[float, Field(gt=0, lt=1)]
    steps: Count


def fmn(settings: Fmn, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary among the iterates, x where there is none: (N, C, H, W) (Pintor et al. 2021, Algorithm 1).

    At a change d with the margin m of the logits and its gradient g, the radius becomes
        ||d||_p + |m| / ||g||_q   until an adversary is found (1/p + 1/q = 1: the linearised distance to the boundary),
        (1 + gamma) radius        later, where the iterate does not fool,
        (1 - gamma) radius        where it fools, and no more than the norm of the nearest adversary.
    Then d takes a step along g / ||g||_2 and is projected onto the ball and into [0, 1]. No randomness.

    Deviations. The size of a step is in radii, in the paper in pixel units: there the size that suits a network whose
    distances are ten times those of another is ten times as large. In l-inf a step of one radius has the l2 norm of a
    change by the radius at every pixel. Until an adversary is found the radius grows by gamma at least, and the
    distance to the boundary is overestimated by a fifth: else the ball can end short of the boundary at every step.
    The last iterate is evaluated too.
    """
    rows = torch.arange(len(x), device=x.device)
    loss, pixels = losses.margin(model), x[0].numel()
    unit, largest = (1.0, pixels**0.5) if settings.norm == "l2" else (pixels**0.5, 1.0)
    change, radius = torch.zeros_like(x), torch.zeros_like(x[:, 0, 0, 0])
    nearest, distance = x.clone(), torch.full_like(radius, math.inf)
    for index in range(settings.steps):
        logits, value, gradient = losses.value_and_gradient(model, x + change, rows, loss)
        fooled, length = model.fooled(logits, rows), norms(change, settings.norm)
        nearest, distance = keep_nearest(x, change, settings.norm, fooled, nearest, distance)
        left = (1 + math.cos(math.pi * index / settings.steps)) / 2
        gamma = _LAST_GAMMA + (settings.gamma - _LAST_GAMMA) * left
        to_boundary = value.abs() / norms(gradient, DUAL[settings.norm]).clamp_min(losses.TINY)
        grown = radius * (1 + gamma)
        grown = torch.where(distance.isfinite(), grown, torch.maximum(grown, length + _OVERSHOOT * to_boundary))
        radius = torch.where(fooled, torch.minimum(radius * (1 - gamma), distance), grown).clamp(max=largest)
        step = settings.relative_step * (_LAST_STEP + (1 - _LAST_STEP) * left) * unit * radius
        change = _project(change + balls.scaled(gradient, "l2", step), settings.norm, radius)
        change = (x + change).clamp(0, 1) - x
    fooled = model.fooled(model(x + change, rows), rows)
    return keep_nearest(x, change, settings.norm, fooled, nearest, distance)[0]


def _project(change: Tensor, norm: Norm, radius: Tensor) -> Tensor:
    """Nearest perturbation, in l2, within each image's own radius (N,)."""
    if norm == "linf":
        return change.clamp(-balls.each(radius), balls.each(radius))
    return balls.scaled(change, norm, torch.minimum(norms(change, norm), radius))
