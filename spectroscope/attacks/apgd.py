"""Auto-PGD: projected gradient steps whose size follows the progress made (Croce & Hein 2020)."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf, Target
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball, Norm
from spectroscope.pipeline.params import Settings

_MOMENTUM = 0.75  # alpha of Eq. 1
_RISING = 0.75  # rho of condition 1


class _Apgd(Settings):
    """Auto-PGD, 1 + `steps` evaluations.

    `loss`: `targeted_dlr` aims at any other class: it tries the `n_targets` classes that score best on the clean image
    in turn. `n_targets` is null for the other losses.
    """

    method: Literal["apgd"]
    n_images: Count
    target: Target
    loss: Literal["cross_entropy", "dlr", "targeted_dlr"]
    n_targets: Count | None
    steps: Count

    @model_validator(mode="after")
    def _targets(self) -> "_Apgd":
        if (self.loss == "targeted_dlr") != (self.n_targets is not None):
            raise ValueError(
                f"expected n_targets with the loss targeted_dlr and null else, got {self.n_targets} and {self.loss}"
            )
        if self.loss == "targeted_dlr" and self.target is not None:
            raise ValueError(f"expected target null where loss is targeted_dlr, got {self.target}; use the loss dlr")
        return self


class ApgdLinf(InLinf, _Apgd):
    """Auto-PGD in an l-inf ball."""


class ApgdL2(InL2, _Apgd):
    """Auto-PGD in an l2 ball."""


Apgd = Annotated[ApgdLinf | ApgdL2, Field(discriminator="norm")]


def apgd(settings: Apgd, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries, x where none was found: (N, C, H, W) (Croce & Hein 2020, Algorithm 1)."""
    if settings.n_targets is not None:
        logits = model(x, torch.arange(len(x), device=x.device)).detach()
        targets = losses.runners_up(logits, model.labels, settings.n_targets)
        return climb_towards_targets(model, x, targets, settings.ball, settings.steps, generators)
    loss = {"cross_entropy": losses.cross_entropy, "dlr": losses.dlr}[settings.loss](model)
    return climb(model, x, loss, settings.ball, settings.steps, generators)


def climb_towards_targets(
    model: CountingModel, x: Tensor, targets: Tensor, ball: Ball, steps: int, generators: list[torch.Generator]
) -> Tensor:
    """Targeted DLR towards the classes of targets (N, T) in turn, for the images not yet fooled: (N, C, H, W)."""
    adversaries, rows = x.clone(), torch.arange(len(x), device=x.device)
    for target in targets.T:
        subset = model.subset(rows)
        loss = losses.targeted_dlr(subset, target[rows])
        adversaries[rows] = climb(subset, x[rows], loss, ball, steps, [generators[row] for row in rows.tolist()])
        rows = rows[(adversaries[rows] == x[rows]).flatten(1).all(1)]
        if not len(rows):
            break
    return adversaries


class _State(NamedTuple):
    """One row for each image that still resists: `before` is the iterate before `z`, `best` that of largest loss."""

    rows: Tensor
    image: Tensor
    z: Tensor
    before: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    step: Tensor
    rises: Tensor
    checkpoint_value: Tensor
    halved: Tensor


def climb(
    model: CountingModel, x: Tensor, loss: losses.Loss, ball: Ball, steps: int, generators: list[torch.Generator]
) -> Tensor:
    """The first iterate of each image that fools, x where there is none: (N, C, H, W).

    Each image starts at a random point on the surface of the ball, as in the authors' code: uniform pixels in l-inf,
    normal ones in l2, scaled to norm eps. They come from its own generator. It makes at most 1 + `steps` queries.
    Deviation: an image that is fooled takes no further step.
    """
    adversaries, rows = x.clone(), torch.arange(len(x), device=x.device)
    start = balls.inside(x, balls.scaled(balls.random_point(x, *ball, generators), *ball), *ball)
    logits, value, gradient = losses.value_and_gradient(model, start, rows, loss)
    zero = torch.zeros_like(value)
    state = _State(
        *(rows, x, start, start, gradient, value, start, gradient, value),
        step=zero + 2 * ball.eps,
        rises=zero,
        checkpoint_value=value,
        halved=zero.bool(),
    )
    checkpoints, last_checkpoint = _checkpoints(steps), 0
    for index in range(steps + 1):
        if (fooled := model.fooled(logits, state.rows)).any():
            adversaries[state.rows[fooled]] = state.z[fooled]
            state = _State(*(values[~fooled] for values in state))
        if index == steps or not len(state.rows):
            break
        if index in checkpoints:
            state, last_checkpoint = _adapt(state, index - last_checkpoint), index
        z = _inside(state, ball, state.z + _along(state.gradient, state.step, ball.norm))
        if index:  # Eq. 1
            z = state.z + _MOMENTUM * (z - state.z) + (1 - _MOMENTUM) * (state.z - state.before)
            z = _inside(state, ball, z)
        logits, value, gradient = losses.value_and_gradient(model, z, state.rows, loss)
        better = value > state.best_value
        state = state._replace(
            z=z,
            before=state.z,
            gradient=gradient,
            value=value,
            best=torch.where(balls.each(better), z, state.best),
            best_gradient=torch.where(balls.each(better), gradient, state.best_gradient),
            best_value=torch.where(better, value, state.best_value),
            rises=state.rises + (value > state.value),
        )
    return adversaries


def _adapt(state: _State, steps_since: int) -> _State:
    """Halves the step and returns to the best iterate where the loss rose in too few steps since the last checkpoint
    (condition 1), or where the best value stayed the same and the step was not halved then (condition 2)."""
    rarely = state.rises < _RISING * steps_since
    stuck = ~state.halved & (state.best_value <= state.checkpoint_value)
    halve = rarely | stuck
    return state._replace(
        z=torch.where(balls.each(halve), state.best, state.z),
        gradient=torch.where(balls.each(halve), state.best_gradient, state.gradient),
        value=torch.where(halve, state.best_value, state.value),
        step=torch.where(halve, state.step / 2, state.step),
        rises=torch.zeros_like(state.rises),
        checkpoint_value=state.best_value,
        halved=halve,
    )


def _checkpoints(steps: int) -> set[int]:
    """Steps at which progress is checked: ceil(p steps), p from 0.22 on in gaps that fall from 0.19 by 0.03 to 0.06
    (Croce & Hein 2020, section 3.1). Computed in whole hundredths, so that no rounding adds a step."""
    percents, gap = [22], 22
    while percents[-1] < 100:
        gap = max(gap - 3, 6)
        percents.append(percents[-1] + gap)
    return {-(-percent * steps // 100) for percent in percents}


def _along(gradient: Tensor, step: Tensor, norm: Norm) -> Tensor:
    return balls.each(step) * gradient.sign() if norm == "linf" else balls.scaled(gradient, "l2", step)


def _inside(state: _State, ball: Ball, z: Tensor) -> Tensor:
    return balls.inside(state.image, z - state.image, *ball)
