"""DDN: small l2 perturbations by steps whose direction and norm are decoupled (Rony et al. 2019)."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.nearest import keep_nearest
from spectroscope.attacks.sizes import Count, Step, Target, Unbounded
from spectroscope.frequency import balls

_LAST_STEP = 0.01  # the step size falls from 1 to this along a cosine (section 3)


class Ddn(Unbounded):
    """The smallest l2 change found in `steps` steps (Rony et al. 2019).

    `initial_norm`: the norm before the first step; `gamma`: at each step the norm is multiplied by 1 - gamma where the
    iterate fools and by 1 + gamma where not (1 and 0.05 in the paper). The first iterate is the image, which does not.
    """

    method: Literal["ddn"]
    n_images: Count
    target: Target
    initial_norm: Step
    gamma: Annotated[float, Field(gt=0, lt=1)]
    steps: Count


def ddn(settings: Ddn, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary among the iterates, x where there is none: (N, C, H, W) (Rony et al. 2019, Algorithm 1).

    No randomness. Deviations: pixels are not rounded to grey levels, the last iterate is evaluated too, and where the
    gradient is zero the perturbation keeps its direction (the authors' code draws one).
    """
    rows = torch.arange(len(x), device=x.device)
    loss = losses.cross_entropy(model)
    change, radius = torch.zeros_like(x), torch.full_like(x[:, 0, 0, 0], settings.initial_norm)
    nearest, distance = x.clone(), torch.full_like(radius, math.inf)
    for index in range(settings.steps):
        logits, _, gradient = losses.value_and_gradient(model, x + change, rows, loss)
        fooled = model.fooled(logits, rows)
        nearest, distance = keep_nearest(x, change, "l2", fooled, nearest, distance)
        radius = radius * torch.where(fooled, 1 - settings.gamma, 1 + settings.gamma)
        step = _LAST_STEP + (1 - _LAST_STEP) * (1 + math.cos(math.pi * index / settings.steps)) / 2
        change = balls.scaled(change + balls.scaled(gradient, "l2", step), "l2", radius)
        change = (x + change).clamp(0, 1) - x
    fooled = model.fooled(model(x + change, rows), rows)
    return keep_nearest(x, change, "l2", fooled, nearest, distance)[0]
