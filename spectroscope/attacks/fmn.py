"""FMN: small l2 or l-inf perturbations by steps inside a ball whose radius adapts (Pintor et al. 2021)."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import boundaries, losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.nearest import NearestOfTargets, keep_nearest
from spectroscope.attacks.sizes import Count, Step
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms

_LAST_STEP = 0.01  # share of the first step that is left at the end
_LAST_GAMMA = 0.001
_OVERSHOOT = 1.2  # of the estimated distance to the boundary


class Fmn(NearestOfTargets):
    """The smallest change found in `steps` steps (Pintor et al. 2021).

    `relative_step`: size of the first step in radii; `gamma`: share by which the radius shrinks where the iterate fools
    and grows where not (0.05 at first in the paper); both fall along a cosine. `n_targets`: null searches once, for any
    class; a number searches for that many classes one after the other, those that score best on the clean image.
    """

    method: Literal["fmn"]
    norm: Literal["linf", "l2"]
    n_images: Count
    relative_step: Step
    gamma: Annotated[float, Field(gt=0, lt=1)]
    steps: Count


def fmn(settings: Fmn, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary among the iterates, x where there is none: (N, C, H, W) (Pintor et al. 2021, Algorithm 1).

    At a change d, with m the margin of the logits and g its gradient, the radius becomes
        ||d||_p + |m| / ||g||_q   until an adversary is found (1/p + 1/q = 1: the linearised distance to the boundary),
        (1 + gamma) radius        later, where the iterate does not fool,
        (1 - gamma) radius        where it fools, and no more than the norm of the nearest adversary.
    Then d takes a step along g / ||g||_2 and is projected onto the ball and into [0, 1]. No randomness.

    Deviations. The size of a step is in radii, in the paper in pixel units: there the size that suits a network whose
    distances are ten times those of another is ten times as large. In l-inf a step of one radius has the l2 norm of a
    change by the radius at every pixel. Until an adversary is found the radius grows by gamma at least, and the
    distance to the boundary is overestimated by a fifth: else the ball can end short of the boundary at every step.
    The last iterate is evaluated too. With `n_targets` the margin is that of each target class in turn, as in FAB: the
    untargeted search stays with the class whose logit is the largest near the image, whose boundary may not be nearest.
    """
    targets: list[Tensor | None] = [None]
    if settings.n_targets is not None:
        logits = model(x, torch.arange(len(x), device=x.device)).detach()
        targets = list(losses.runners_up(logits, model.labels, settings.n_targets).T)
    nearest, distance = x.clone(), torch.full_like(x[:, 0, 0, 0], math.inf)
    for target in targets:
        nearest, distance = _search(settings, model, x, target, nearest, distance)
    return nearest


def _search(
    settings: Fmn, model: CountingModel, x: Tensor, target: Tensor | None, nearest: Tensor, distance: Tensor
) -> tuple[Tensor, Tensor]:
    """The nearest adversaries and their norms (N,), updated with the iterates of one search from the images."""
    norm, pixels, rows = settings.norm, x[0].numel(), torch.arange(len(x), device=x.device)
    unit, largest = (1.0, pixels**0.5) if norm == "l2" else (pixels**0.5, 1.0)
    change, radius, found = torch.zeros_like(x), torch.zeros_like(distance), torch.zeros_like(rows, dtype=torch.bool)
    for index in range(settings.steps):
        logits, margin, gradient = boundaries.towards(model, x + change, rows, target)
        fooled = model.fooled(logits, rows)
        found |= fooled
        nearest, distance = keep_nearest(x, change, norm, fooled, nearest, distance)
        left = (1 + math.cos(math.pi * index / settings.steps)) / 2
        gamma = _LAST_GAMMA + (settings.gamma - _LAST_GAMMA) * left
        to_boundary = margin.abs() / norms(gradient, boundaries.DUAL[norm]).clamp_min(losses.TINY)
        grown = radius * (1 + gamma)
        grown = torch.where(found, grown, torch.maximum(grown, norms(change, norm) + _OVERSHOOT * to_boundary))
        radius = torch.where(fooled, torch.minimum(radius * (1 - gamma), distance), grown).clamp(max=largest)
        step = settings.relative_step * (_LAST_STEP + (1 - _LAST_STEP) * left) * unit * radius
        change = _project(change + balls.scaled(gradient, "l2", step), norm, radius)
        change = (x + change).clamp(0, 1) - x
    fooled = model.fooled(model(x + change, rows), rows)
    return keep_nearest(x, change, norm, fooled, nearest, distance)


def _project(change: Tensor, norm: Norm, radius: Tensor) -> Tensor:
    """Nearest perturbation, in l2, within each image's own radius (N,)."""
    if norm == "linf":
        return change.clamp(-balls.each(radius), balls.each(radius))
    return balls.scaled(change, norm, torch.minimum(norms(change, norm), radius))
