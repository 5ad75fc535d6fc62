"""DeepFool: the nearest boundary in l2 by steps to its linear model, in the whole space or in a band of it."""

import math

import torch
from torch import Tensor

from spectroscope.attacks import boundaries, losses
from spectroscope.attacks.confined import Projection, confine, leak, projection
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_white_box import Deepfool
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball, norms

_BEYOND = 1e-4


def deepfool(
    settings: Deepfool, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """The first adversary on the way, or the last point: (N, C, H, W) (Moosavi-Dezfooli et al. 2016, Algorithm 2).

    Within a band the gradients are projected onto it (Ortiz-Jimenez et al. 2020, section 3) and the leak is noted. No
    randomness. Deviations: each point is moved into [0, 1] (and stays in its band, as in `confined`); all classes are
    candidates; each step is `_BEYOND` longer, as rounding else holds a point on the boundary, where steps end.
    """
    within = None
    if settings.bands:
        (band,) = settings.bands.values()
        within = projection(band, *x.shape[-2:])
    images, rows, reached, walked = x, torch.arange(len(x), device=x.device), x.clone(), torch.zeros_like(x)
    for taken in range(settings.steps + 1):
        at = x + _inside((1 + settings.overshoot) * walked, x, within)
        if predict.targets is None:
            logits, f, weight = boundaries.nearest(predict, at, rows, "l2", within)
        else:
            logits, f, weight = boundaries.towards(predict, at, rows, None)
            weight = within(weight) if within else weight
        reached[rows] = at
        left = ~predict.fooled(logits, rows)
        if taken == settings.steps or not left.any():
            break
        length = f.abs() / norms(weight, "l2").clamp_min(losses.TINY) + _BEYOND
        step = balls.scaled(weight, "l2", length)
        rows, x, walked = rows[left], x[left], (walked + step)[left]
    if within:
        predict.leak = leak(reached - images, within)
    return reached


def _inside(change: Tensor, x: Tensor, within: Projection | None) -> Tensor:
    """The change moved into [0, 1] - x and, where there is one, into its band; 0 where it has no place in both."""
    if within is None:
        return (x + change).clamp(0, 1) - x
    return confine(change, x, Ball("l2", math.inf), within)[0]
