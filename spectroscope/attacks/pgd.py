"""PGD: the loop of projected gradient steps that attacks and adversarial training share, and the attack made of it."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import (
    CountingModel,
    Model,
    check_classes,
    check_images,
    check_targets,
    evaluating,
    logits_of,
)
from spectroscope.attacks.sizes import Count, Sizes, Step, StepsInL2, StepsInLinf, Target, single
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball, Norm
from spectroscope.pipeline.params import Settings


class _Pgd(Settings):
    """Projected gradient steps (Madry et al. 2018).

    `direction`: of a step, see `balls.step`; Madry et al. 2018 take the sign in l-inf and l2 in l2. `momentum`: the
    factor that the accumulated gradient keeps at each step, 0 for none (Dong et al. 2018, Eq. 6). `stop_early`: an
    image that is fooled takes no further step, which is faster, but leaves the perturbation nearer to the boundary.
    """

    method: Literal["pgd"]
    n_images: Count
    target: Target
    steps: Count
    random_start: bool
    direction: Literal["sign", "l2", "raw"]
    momentum: Annotated[float, Field(ge=0)]
    stop_early: bool

    @model_validator(mode="after")
    def _raw_has_no_momentum(self) -> "_Pgd":
        if self.direction == "raw" and self.momentum:
            raise ValueError(f"expected momentum 0 where direction is raw, got {self.momentum:g}")
        return self


class PgdLinf(StepsInLinf, _Pgd):
    """PGD in an l-inf ball."""


class PgdL2(StepsInL2, _Pgd):
    """PGD in an l2 ball."""


class PgdL1(_Pgd):
    """PGD in an l1 ball."""

    norm: Literal["l1"]
    eps: Sizes
    step_size: Step

    @property
    def ball(self) -> Ball:
        return Ball("l1", single(self.eps))


Pgd = Annotated[PgdLinf | PgdL2 | PgdL1, Field(discriminator="norm")]


Rows = Tensor  # (m,): indices of images
Gradient = Callable[[Tensor, Rows], tuple[Rows, Tensor]]
Allowed = Callable[[Tensor, Rows], tuple[Rows, Tensor]]


def projected_gradient(
    gradient: Gradient, x: Tensor, start: Tensor, steps: int, step: Callable[[Tensor], Tensor], allowed: Allowed
) -> Tensor:
    """Images (N, C, H, W) after projected gradient steps from `start` (N, C, H, W) (Madry et al. 2018, section 2.1).

    gradient: (z (N, C, H, W), rows (m,)) -> the rows that take the step, and the gradient of the loss at each of them.
    step: gradients -> changes. allowed: (perturbations of the images x after the step, rows) -> the rows whose step can
    be projected, and their images after it. A row that either leaves out stays where it is from then on.
    """
    z, rows = start.clone(), torch.arange(len(x), device=x.device)
    for _ in range(steps):
        rows, slope = gradient(z, rows)
        if not len(rows):
            break
        rows, moved = allowed(z[rows] - x[rows] + step(slope), rows)
        z[rows] = moved
    return z


def ascent(model: CountingModel, stop_early: bool) -> Gradient:
    """The gradient of the cross-entropy; with `stop_early`, an image that is fooled takes no further step."""
    loss = losses.cross_entropy(model)

    def gradient(z: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
        logits, _, slope = losses.value_and_gradient(model, z[rows], rows, loss)
        if stop_early:
            resisting = ~model.fooled(logits, rows)
            rows, slope = rows[resisting], slope[resisting]
        return rows, slope

    return gradient


def with_momentum(gradient: Gradient, x: Tensor, momentum: float) -> Gradient:
    """The accumulated gradient, each scaled to l1 norm 1 before it is added (Dong et al. 2018, Eq. 6)."""
    accumulated = torch.zeros_like(x)

    def with_accumulated(z: Tensor, rows: Rows) -> tuple[Rows, Tensor]:
        rows, slope = gradient(z, rows)
        accumulated[rows] = momentum * accumulated[rows] + balls.scaled(slope, "l1", 1.0)
        return rows, accumulated[rows]

    return with_accumulated


def in_ball(x: Tensor, ball: Ball) -> Allowed:
    """Every perturbation projected onto the ball, and every image clipped to [0, 1]; see `balls.inside`."""
    return lambda change, rows: (rows, balls.inside(x[rows], change, *ball))


def pgd_attack(settings: Pgd, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The last iterate or, with `stop_early`, the first that fools: (N, C, H, W) (Madry et al. 2018, section 2.1).

    Each image starts at itself or at a random point of the ball, drawn from its own generator.
    """
    start = balls.random_start(x, *settings.ball, generators) if settings.random_start else x
    gradient = ascent(model, settings.stop_early)
    if settings.momentum:
        gradient = with_momentum(gradient, x, settings.momentum)
    step = partial(balls.step, direction=settings.direction, norm=settings.norm, length=settings.step_size)
    return projected_gradient(gradient, x, start, settings.steps, step, in_ball(x, settings.ball))


def pgd(  # more arguments than elsewhere: a public function takes every setting by its name
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step_size: float,
    steps: int,
    norm: Norm = "linf",
    random_start: bool = True,
    generator: torch.Generator | None = None,
    targets: Tensor | None = None,
) -> Tensor:
    """Images that PGD has moved across the decision boundary, or towards it: (N, C, H, W) (Madry et al. 2018).

    model: any callable from images (N, C, H, W) to logits (N, K). A module is run in evaluation mode; its modes,
    weights, gradients and buffers stay as they are. images: float32 in [0, 1]; labels, targets: (N,) integers; None
    aims at any class but the label. eps: radius of the ball in `norm`, and step_size: norm of a step, in units of
    pixels in [0, 1]. Steps go along the sign of the gradient in l-inf, along the gradient in l2 and l1. The start is
    the image or, with `random_start`, uniform in the volume of the ball, drawn from `generator` (None: torch's global
    one). Every image takes all steps, and all images are one batch.
    ValueError: images outside [0, 1]; labels or targets out of range, or equal; eps < 0, step_size <= 0 or steps < 1;
    another norm.

    >>> import torch
    >>> from spectroscope.attacks.pgd import pgd
    >>> images, labels = torch.full((4, 3, 8, 8), 0.5), torch.tensor([0, 1, 0, 1])
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> adversaries = pgd(model, images, labels, eps=8 / 255, step_size=2 / 255, steps=10)
    >>> bool((adversaries - images).abs().max() <= 8 / 255 + 1e-6)
    True
    """
    check_images(images, labels, targets)
    if norm not in get_args(Norm):
        raise ValueError(f"expected norm {', '.join(get_args(Norm))}, got {norm!r}")
    for name, value, valid in (("eps >= 0", eps, eps >= 0), ("step_size > 0", step_size, step_size > 0)):
        if not valid:
            raise ValueError(f"expected {name}, got {value:g}")
    if steps < 1:
        raise ValueError(f"expected steps >= 1, got {steps}")
    x, labels, ball = images.detach(), labels.long().to(images.device), Ball(norm, eps)
    with evaluating(model):
        with torch.no_grad():
            n_classes = logits_of(model, x[:1]).shape[1]
        check_classes("labels", labels, n_classes)
        if targets is not None:
            targets = check_targets(targets.long().to(x.device), labels, n_classes)
        start = balls.random_start(x, *ball, generator or torch.default_generator) if random_start else x
        gradient = ascent(CountingModel(model, x, labels, n_classes, targets), stop_early=False)
        step = partial(balls.step, direction="sign" if norm == "linf" else "l2", norm=norm, length=step_size)
        return projected_gradient(gradient, x, start, steps, step, in_ball(x, ball))
