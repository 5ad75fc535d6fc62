"""Projected gradient steps in an l-inf, l2 or l1 ball, with or without momentum, sign and early stop."""

import torch
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_white_box import PgdL1, PgdL2, PgdLinf
from spectroscope.frequency import balls


def pgd(
    settings: PgdLinf | PgdL2 | PgdL1,
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    """The last iterate or, with `stop_early`, the first that fools: (N, C, H, W) (Madry et al. 2018, section 2.1).

    Every image starts at itself or at a random point of the ball, by its own generator, and is projected to the ball
    and to [0, 1] after each step.
    """
    norm, eps = settings.ball
    loss = losses.cross_entropy(predict)
    rows, reached = torch.arange(len(x), device=x.device), x.clone()
    now = balls.random_start(x, norm, eps, generators) if settings.random_start else x.clone()
    gathered = torch.zeros_like(x)
    for _ in range(settings.steps):
        logits, _, gradient = losses.value_and_gradient(predict, now, rows, loss)
        if settings.stop_early and (fooled := predict.fooled(logits, rows)).any():
            reached[rows[fooled]] = now[fooled]
            rows, x, now, gathered, gradient = (part[~fooled] for part in (rows, x, now, gathered, gradient))
            if not len(rows):
                return reached
        if settings.momentum:
            gradient = gathered = settings.momentum * gathered + balls.scaled(gradient, "l1", 1.0)
        change = now - x + balls.step(gradient, settings.direction, norm, settings.step_size)
        now = (x + balls.project(change, norm, eps)).clamp(0, 1)
    reached[rows] = now
    return reached
