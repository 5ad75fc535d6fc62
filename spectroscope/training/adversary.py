"""Projected gradient descent (PGD) on training batches: the loop of the attacks, with what training needs of its own.

With one step, a random start and a step size above eps it is fast adversarial training (Wong et al. 2020).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from spectroscope.attacks.band_projection import confine, projection
from spectroscope.attacks.pgd import Rows, in_ball, projected_gradient
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import PassBand
from spectroscope.training.hooks import Adversary, Model

Loss = Callable[[Tensor, Tensor], Tensor]
CYCLES = 5  # of projecting onto band, ball and box in turn; docs/training.md: what stays outside the band


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over images, so that the gradient of one does not depend on the size of the batch."""
    return F.cross_entropy(logits, labels, reduction="sum")


def pgd_adversary(
    norm: Literal["linf", "l2"],
    eps: float,
    step_size: float,
    steps: int,
    random_start: bool,
    loss: Loss = cross_entropy,
    band: PassBand | None = None,
) -> Adversary:
    """PGD that increases `loss`(logits, labels), projected onto the ball and [0, 1] after each step.

    Steps go along the sign of the gradient in l-inf, along the gradient in l2. With a `band`, the gradient is projected
    onto its frequencies and the perturbation is confined to them by `CYCLES` cycles of `confine`. The random start
    comes from one generator for the whole batch. The model keeps its mode: training mode during training, as in Madry
    et al. and Wong et al. Its weights get no gradient.
    """
    ball = Ball(norm, eps)
    step = partial(balls.step, direction="sign" if norm == "linf" else "l2", norm=norm, length=step_size)

    def attack(model: Model, images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        project = projection(band, *images.shape[-2:]) if band else lambda change, rows=None: change

        def gradient(z: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
            z = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(loss(model(z), labels), z)
            return rows, project(slope)

        def in_band(change: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
            return rows, images + confine(change, images, ball, project, CYCLES, max_leak=0.0)[0]

        allowed, start = in_band if band else in_ball(images, ball), images
        if random_start:
            point = balls.random_point(images, *ball, generator)
            _, start = allowed(point, torch.arange(len(images), device=images.device))
        return projected_gradient(gradient, images, start, steps, step, allowed)

    return attack
