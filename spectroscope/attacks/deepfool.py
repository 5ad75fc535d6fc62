"""DeepFool: small l2 perturbations by steps to the linearised boundary, in the whole space or within a band."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import boundaries, losses
from spectroscope.attacks.band_projection import (
    MAX_CYCLES,
    MAX_LEAK,
    AttackedBand,
    Projection,
    confine,
    leak,
    projection,
)
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Target, Unbounded
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball, norms

_EXTRA_LENGTH = 1e-4


class Deepfool(Unbounded):
    """A small l2 change found in at most `steps` steps (Moosavi-Dezfooli et al. 2016).

    `bands`: null for the attack as published; else each band is a variant, whose change lies within that band
    (Ortiz-Jimenez et al. 2020). `overshoot`: the share by which the sum of the steps goes beyond the boundary (0.02 in
    the paper).
    """

    method: Literal["deepfool"]
    n_images: Count
    target: Target
    bands: Annotated[dict[str, AttackedBand], Field(min_length=1)] | None
    overshoot: Annotated[float, Field(gt=0)]
    steps: Count


def deepfool(settings: Deepfool, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The first adversary among the iterates, or the last: (N, C, H, W) (Moosavi-Dezfooli et al. 2016, Algorithm 2).

    Within a band, gradients are projected onto it (Ortiz-Jimenez et al. 2020, section 3) and the leak is recorded. No
    randomness. Deviations: each iterate is moved into [0, 1] (and stays in its band, as in `confined`); all classes are
    candidates; each step is `_EXTRA_LENGTH` longer: steps end on the boundary, where rounding would hold an iterate.
    """
    project = None
    if settings.bands:
        (band,) = settings.bands.values()
        project = projection(band, *x.shape[-2:])
    images, rows, reached, total_step = x, torch.arange(len(x), device=x.device), x.clone(), torch.zeros_like(x)
    for index in range(settings.steps + 1):
        z = x + _inside((1 + settings.overshoot) * total_step, x, project)
        if model.targets is None:
            logits, f, weight = boundaries.nearest(model, z, rows, "l2", project)
        else:
            logits, f, weight = boundaries.towards(model, z, rows, None)
            weight = project(weight) if project else weight
        reached[rows] = z
        resisting = ~model.fooled(logits, rows)
        if index == settings.steps or not resisting.any():
            break
        length = f.abs() / norms(weight, "l2").clamp_min(losses.TINY) + _EXTRA_LENGTH
        step = balls.scaled(weight, "l2", length)
        rows, x, total_step = rows[resisting], x[resisting], (total_step + step)[resisting]
    if project:
        model.leak = leak(reached - images, project)
    return reached


def _inside(change: Tensor, x: Tensor, project: Projection | None) -> Tensor:
    """The change moved into [0, 1] - x and, where there is one, into its band; 0 where both cannot hold."""
    if project is None:
        return (x + change).clamp(0, 1) - x
    moved, placed = confine(change, x, Ball("l2", math.inf), project, MAX_CYCLES, MAX_LEAK)
    return torch.where(balls.each(placed), moved, 0)
