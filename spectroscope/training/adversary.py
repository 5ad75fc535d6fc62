"""The adversary inside the training loop: a function (model, images, labels, generator) -> images.

It is PGD (Madry et al. 2018, Eq. 2.1); with one step, a random start and a step size above eps it is the fast form of
Wong et al. 2020.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from spectroscope.frequency.passbands import PassBand, band_filter
from spectroscope.training.regimes import AdversarialL2, AdversarialLinf

Adversary = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
ROUNDS = 5  # of projection onto band, ball and box in turn; what they leave outside the band is in docs/regimes.md


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed over images, so that the gradient of one does not depend on how many there are."""
    return F.cross_entropy(logits, labels, reduction="sum")


def adversary(
    settings: AdversarialLinf | AdversarialL2, loss: Loss = cross_entropy, band: PassBand | None = None
) -> Adversary:
    """The adversary of these settings, which climbs `loss`, in the frequencies of `band` where one is given."""
    if isinstance(settings, AdversarialLinf):
        norm, eps, step_size = "linf", settings.eps_255 / 255, settings.step_255 / 255
    else:
        norm, eps, step_size = "l2", settings.eps, settings.step_size
    return projected_gradient(norm, eps, step_size, settings.steps, settings.random_start, loss, band)


def projected_gradient(
    norm: Literal["linf", "l2"],
    eps: float,
    step_size: float,
    steps: int,
    start: bool,
    loss: Loss = cross_entropy,
    band: PassBand | None = None,
) -> Adversary:
    """PGD on `loss`(logits, labels), projected to the ball and to [0, 1] after every step.

    With a band the gradient and the perturbation are projected onto its frequencies as well: band, ball and box in turn
    (von Neumann's alternating projections), ending in ball and box, which hold exactly.
    A pixel outside [0, 1], as in a band without DC, may stay where it is but never moves further out: clamping it would
    leave the ball.
    The model is differentiated with respect to its input alone and keeps its mode: training against BatchNorm in
    training mode, as Madry et al. and Wong et al. do, is the caller's choice.
    """
    direction, project, noise = _GEOMETRY[norm]

    def attack(model: Callable, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        low, high = images.clamp(max=0), images.clamp(min=1)

        def allowed(delta: Tensor) -> Tensor:
            for _ in range(ROUNDS if band else 1):
                delta = project(band_filter(delta, band) if band else delta, eps)
                delta = (images + delta).clamp(low, high) - images
            return delta

        delta = allowed(noise(images, eps, generator)) if start else torch.zeros_like(images)
        for _ in range(steps):
            delta.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(model(images + delta), labels), delta)
            gradient = band_filter(gradient, band) if band else gradient
            delta = allowed(delta.detach() + step_size * direction(gradient))
        return images + delta

    return attack


def _norms(x: Tensor) -> Tensor:
    """l2 norm of each image, at least a tiny positive number: (N, 1, 1, 1)."""
    return x.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]


def _uniform(images: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    noise = torch.rand(images.shape, generator=generator).to(images)
    return (2 * noise - 1) * eps


def _uniform_in_ball(images: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator).to(images)
    radius = torch.rand(len(images), 1, 1, 1, generator=generator).to(images)
    return noise / _norms(noise) * eps * radius ** (1 / images[0].numel())


_GEOMETRY = {
    "linf": (torch.sign, lambda delta, eps: delta.clamp(-eps, eps), _uniform),
    "l2": (
        lambda gradient: gradient / _norms(gradient),
        lambda delta, eps: delta * (eps / _norms(delta)).clamp_max(1),
        _uniform_in_ball,
    ),
}
