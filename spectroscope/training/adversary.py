"""Projected gradient descent (PGD) on training batches (Madry et al. 2018, Eq. 2.1).

With one step, a random start and a step size above eps it is fast adversarial training (Wong et al. 2020).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from spectroscope.frequency.passbands import PassBand, band_filter
from spectroscope.training.hooks import Adversary, Model

Loss = Callable[[Tensor, Tensor], Tensor]
PROJECTION_ROUNDS = 5  # of projecting onto band, ball and box in turn; docs/training.md: what stays outside the band


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over images, so that the gradient of one does not depend on the size of the batch."""
    return F.cross_entropy(logits, labels, reduction="sum")


def projected_gradient(
    norm: Literal["linf", "l2"],
    eps: float,
    step_size: float,
    steps: int,
    random_start: bool,
    loss: Loss = cross_entropy,
    band: PassBand | None = None,
) -> Adversary:
    """PGD that increases `loss`(logits, labels), projected onto the ball and [0, 1] after each step.

    With a `band`, gradient and perturbation are also projected onto its frequencies: band, ball and box in turn (von
    Neumann's alternating projections), ending with ball and box, which hold exactly.
    A pixel that starts outside [0, 1], as in images without DC, may stay there but never moves further out: clamping it
    to [0, 1] would leave the ball.
    The model keeps its mode: training mode during training, as in Madry et al. and Wong et al. Its weights get no
    gradient.
    """
    direction, project, random_point = GEOMETRIES[norm]

    def attack(model: Model, images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        low, high = images.clamp(max=0), images.clamp(min=1)

        def feasible(delta: Tensor) -> Tensor:
            for _ in range(PROJECTION_ROUNDS if band else 1):
                delta = project(band_filter(delta, band) if band else delta, eps)
                delta = (images + delta).clamp(low, high) - images
            return delta

        delta = feasible(random_point(images, eps, generator)) if random_start else torch.zeros_like(images)
        for _ in range(steps):
            delta.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(model(images + delta), labels), delta)
            gradient = band_filter(gradient, band) if band else gradient
            delta = feasible(delta.detach() + step_size * direction(gradient))
        return images + delta

    return attack


class Geometry(NamedTuple):
    """What PGD needs of a norm."""

    direction: Callable[[Tensor], Tensor]  # gradient -> steepest ascent of length 1
    project: Callable[[Tensor, float], Tensor]  # perturbation, eps -> nearest one in the ball
    random_point: Callable[[Tensor, float, Generator], Tensor]  # images, eps -> uniform in the volume of the ball


def _l2_norms(x: Tensor) -> Tensor:
    """l2 norm of each image, at least 1e-12 to divide by: (N, C, H, W) -> (N, 1, 1, 1)."""
    return x.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]


def _random_point_linf(images: Tensor, eps: float, generator: Generator) -> Tensor:
    return (2 * torch.rand(images.shape, generator=generator).to(images) - 1) * eps


def _random_point_l2(images: Tensor, eps: float, generator: Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator).to(images)
    radius = torch.rand(len(images), 1, 1, 1, generator=generator).to(images)
    return noise / _l2_norms(noise) * eps * radius ** (1 / images[0].numel())


GEOMETRIES = {
    "linf": Geometry(torch.sign, lambda delta, eps: delta.clamp(-eps, eps), _random_point_linf),
    "l2": Geometry(
        lambda gradient: gradient / _l2_norms(gradient),
        lambda delta, eps: delta * (eps / _l2_norms(delta)).clamp_max(1),
        _random_point_l2,
    ),
}
