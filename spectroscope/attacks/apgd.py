"""Auto-PGD: projected gradient steps whose size follows the progress made (Croce & Hein 2020)."""

from typing import NamedTuple

import torch
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_yardstick import ApgdL2, ApgdLinf
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm

_MOMENTUM = 0.75  # alpha of Eq. 1
_RISING = 0.75  # rho of condition 1


def apgd(
    settings: ApgdLinf | ApgdL2, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """Adversaries, or the best points found: (N, C, H, W) (Croce & Hein 2020, Algorithm 1)."""
    norm, eps = settings.ball
    if settings.n_targets is not None:
        logits = predict(x, torch.arange(len(x), device=x.device)).detach()
        targets = losses.runners_up(logits, labels, settings.n_targets)
        return towards_each(predict, x, targets, norm, eps, settings.steps, generators)
    loss = {"cross_entropy": losses.cross_entropy, "dlr": losses.dlr}[settings.loss](predict)
    return climb(predict, x, loss, norm, eps, settings.steps, generators)


def towards_each(
    predict: CountingModel,
    x: Tensor,
    targets: Tensor,
    norm: Norm,
    eps: float,
    steps: int,
    generators: list[torch.Generator],
) -> Tensor:
    """Targeted DLR towards the classes of targets (N, T) in turn, for the images not yet fooled: (N, C, H, W)."""
    reached, rows = x.clone(), torch.arange(len(x), device=x.device)
    for target in targets.T:
        part = predict.only(rows)
        loss = losses.targeted_dlr(part, target[rows])
        reached[rows] = climb(part, x[rows], loss, norm, eps, steps, [generators[row] for row in rows.tolist()])
        rows = rows[(reached[rows] == x[rows]).flatten(1).all(1)]
        if not len(rows):
            break
    return reached


class _Climb(NamedTuple):
    """Where each image that still resists is; `before` is the point before `now`, `best` that of the largest loss."""

    rows: Tensor
    image: Tensor
    now: Tensor
    before: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    step: Tensor
    rises: Tensor
    checked_value: Tensor
    halved: Tensor


def climb(
    predict: CountingModel,
    x: Tensor,
    loss: losses.Loss,
    norm: Norm,
    eps: float,
    steps: int,
    generators: list[torch.Generator],
) -> Tensor:
    """The first point that fools on the way of each image, x where there is none: (N, C, H, W).

    Each starts at a random point of the ball, by its own generator, and asks 1 + `steps` times at most. Deviation: an
    image that is fooled is done.
    """
    reached, rows = x.clone(), torch.arange(len(x), device=x.device)
    start = balls.random_start(x, norm, eps, generators)
    logits, value, gradient = losses.value_and_gradient(predict, start, rows, loss)
    zero = torch.zeros_like(value)
    at = _Climb(
        *(rows, x, start, start, gradient, value, start, gradient, value),
        step=zero + 2 * eps,
        rises=zero,
        checked_value=value,
        halved=zero.bool(),
    )
    checkpoints, last = _checkpoints(steps), 0
    for taken in range(steps + 1):
        if (fooled := predict.fooled(logits, at.rows)).any():
            reached[at.rows[fooled]] = at.now[fooled]
            at = _Climb(*(part[~fooled] for part in at))
        if taken == steps or not len(at.rows):
            break
        if taken in checkpoints:
            at, last = _adapt(at, taken - last), taken
        inside = _inside(at, norm, eps, at.now + _along(at.gradient, at.step, norm))
        if taken:  # Eq. 1
            inside = at.now + _MOMENTUM * (inside - at.now) + (1 - _MOMENTUM) * (at.now - at.before)
            inside = _inside(at, norm, eps, inside)
        logits, value, gradient = losses.value_and_gradient(predict, inside, at.rows, loss)
        better = value > at.best_value
        at = at._replace(
            now=inside,
            before=at.now,
            gradient=gradient,
            value=value,
            best=torch.where(balls.each(better), inside, at.best),
            best_gradient=torch.where(balls.each(better), gradient, at.best_gradient),
            best_value=torch.where(better, value, at.best_value),
            rises=at.rises + (value > at.value),
        )
    return reached


def _adapt(at: _Climb, since: int) -> _Climb:
    """Half the step and back to the best point, where the loss rose too rarely since the last checkpoint (condition 1),
    or where the best value stayed while the step was not halved (condition 2)."""
    rarely = at.rises < _RISING * since
    stuck = ~at.halved & (at.best_value <= at.checked_value)
    halve = rarely | stuck
    return at._replace(
        now=torch.where(balls.each(halve), at.best, at.now),
        gradient=torch.where(balls.each(halve), at.best_gradient, at.gradient),
        value=torch.where(halve, at.best_value, at.value),
        step=torch.where(halve, at.step / 2, at.step),
        rises=torch.zeros_like(at.rises),
        checked_value=at.best_value,
        halved=halve,
    )


def _checkpoints(steps: int) -> set[int]:
    """Steps after which progress is judged: ceil(p steps), p = 0, .22, then gaps .03 shorter each time, .06 at least
    (Croce & Hein 2020, section 3.1); in whole hundredths, so that no rounding adds a step."""
    parts, gap = [22], 22
    while parts[-1] < 100:
        gap = max(gap - 3, 6)
        parts.append(parts[-1] + gap)
    return {-(-part * steps // 100) for part in parts}


def _along(gradient: Tensor, step: Tensor, norm: Norm) -> Tensor:
    return balls.each(step) * gradient.sign() if norm == "linf" else balls.scaled(gradient, "l2", step)


def _inside(at: _Climb, norm: Norm, eps: float, point: Tensor) -> Tensor:
    return (at.image + balls.project(point - at.image, norm, eps)).clamp(0, 1)
