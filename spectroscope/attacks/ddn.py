"""DDN: small l2 perturbations by steps whose direction and norm are decoupled (Rony et al. 2019)."""

import math

import torch
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_white_box import Ddn
from spectroscope.frequency import balls
from spectroscope.frequency.balls import norms

_LAST_STEP = 0.01  # the step falls from 1 to this along a cosine (section 3)


def ddn(settings: Ddn, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary on the way, x where there is none: (N, C, H, W) (Rony et al. 2019, Algorithm 1).

    No randomness. Deviations: pixels are not rounded to grey levels, and the last point is asked about too.
    """
    rows = torch.arange(len(x), device=x.device)
    loss = losses.cross_entropy(predict)
    change, radius = torch.zeros_like(x), torch.full_like(labels, settings.initial_norm, dtype=x.dtype)
    nearest, least = x.clone(), torch.full_like(radius, math.inf)
    for taken in range(settings.steps):
        logits, _, gradient = losses.value_and_gradient(predict, x + change, rows, loss)
        fooled = predict.fooled(logits, rows)
        nearest, least = _nearer(x, change, fooled, nearest, least)
        if taken:  # the image itself is not an adversary: the first step keeps the first radius
            radius = radius * torch.where(fooled, 1 - settings.gamma, 1 + settings.gamma)
        step = _LAST_STEP + (1 - _LAST_STEP) * (1 + math.cos(math.pi * taken / settings.steps)) / 2
        change = balls.scaled(change + balls.scaled(gradient, "l2", step), "l2", radius)
        change = (x + change).clamp(0, 1) - x
    return _nearer(x, change, predict.fooled(predict(x + change, rows), rows), nearest, least)[0]


def _nearer(x: Tensor, change: Tensor, fooled: Tensor, nearest: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest adversaries and their norms, with those at hand."""
    length = norms(change, "l2")
    better = fooled & (length < least)
    return torch.where(balls.each(better), x + change, nearest), torch.where(better, length, least)
