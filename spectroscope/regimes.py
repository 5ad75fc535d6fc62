"""What a network is trained against: nothing, or an adversary inside the training loop.

An adversary is a function (model, images, labels, generator) -> images. It is PGD (Madry et al. 2018, Eq. 2.1); with
one step, a random start and a step size above eps it is the fast form of Wong et al. 2020.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from spectroscope.params import Settings

Adversary = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor]


class Standard(Settings):
    """Clean images alone."""

    name: Literal["standard"]


class AdversarialLinf(Settings):
    """PGD in an l-inf ball; sizes in units of 1/255."""

    name: Literal["adversarial"]
    norm: Literal["linf"]
    eps_255: Annotated[float, Field(gt=0, le=255)]
    step_255: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


class AdversarialL2(Settings):
    """PGD in an l2 ball; sizes in pixel units, the image in [0, 1]."""

    name: Literal["adversarial"]
    norm: Literal["l2"]
    eps: Annotated[float, Field(gt=0)]
    step_size: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


Adversarial = Annotated[AdversarialLinf | AdversarialL2, Field(discriminator="norm")]
Regime = Annotated[Standard | Adversarial, Field(discriminator="name")]


def adversary(regime: Standard | AdversarialLinf | AdversarialL2) -> Adversary | None:
    """The adversary of a regime, None for standard training."""
    if isinstance(regime, Standard):
        return None
    if isinstance(regime, AdversarialLinf):
        return projected_gradient(
            "linf", regime.eps_255 / 255, regime.step_255 / 255, regime.steps, regime.random_start
        )
    return projected_gradient("l2", regime.eps, regime.step_size, regime.steps, regime.random_start)


def projected_gradient(norm: Literal["linf", "l2"], eps: float, step_size: float, steps: int, start: bool) -> Adversary:
    """PGD on the cross-entropy, projected to the ball and to [0, 1] after every step.

    A pixel outside [0, 1], as in a band without DC, may stay where it is but never moves further out: clamping it would
    leave the ball.
    The model is differentiated with respect to its input alone and keeps its mode: training against BatchNorm in
    training mode, as Madry et al. and Wong et al. do, is the caller's choice.
    """
    direction, project, noise = _GEOMETRY[norm]

    def attack(model: Callable, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        low, high = images.clamp(max=0), images.clamp(min=1)
        delta = torch.zeros_like(images)
        if start:
            delta = noise(images, eps, generator)
            delta = (images + delta).clamp(low, high) - images
        for _ in range(steps):
            delta.requires_grad_(True)
            loss = F.cross_entropy(model(images + delta), labels, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, delta)
            delta = project(delta.detach() + step_size * direction(gradient), eps)
            delta = (images + delta).clamp(low, high) - images
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
