"""FAB: small perturbations in l-inf or l2 by steps to the linearised boundary (Croce & Hein 2020, FAB)."""

import math

import torch
from torch import Tensor

from spectroscope.attacks import boundaries, losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_white_box import Fab
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms

_FROM_IMAGE = 0.1  # alpha_max, the largest weight of the step that starts from the image
_OVERSHOOT = 1.05  # eta
_KEPT = 0.9  # beta, the part of the change that is kept after an adversary is found
_SEARCHES = 3  # along the last stretch
_CLEAR = 1e-5  # of the spread of the logits, by which an adversary is beyond the boundary


def fab(settings: Fab, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary found, x where there is none: (N, C, H, W). No randomness."""
    targets = None
    if predict.targets is None and settings.n_targets is not None:
        logits = predict(x, torch.arange(len(x), device=x.device)).detach()
        targets = losses.runners_up(logits, labels, settings.n_targets)
    return approach(predict, x, targets, settings.norm, settings.steps, within=0.0)


def approach(
    predict: CountingModel, x: Tensor, targets: Tensor | None, norm: Norm, steps: int, within: float
) -> Tensor:
    """The nearest adversary found, x where there is none: (N, C, H, W) (Croce & Hein 2020, FAB, Algorithm 1).

    targets (N, T): the classes whose boundaries to go to in turn; None for the target of the attack or, where it has
    none, for the nearest at each step. An image is done as soon as an adversary of a norm of at most `within` is found;
    0 goes on.

    Deviation: the boundary is where the margin is `_CLEAR` times the spread of the logits. Where it is 0, which is what
    the last search leads to, rounding decides the class, and in another batch it decides otherwise.
    """
    loss = losses.margin(predict)
    everything = torch.arange(len(x), device=x.device)
    found, least = x.clone(), x.new_full((len(x),), math.inf)
    for target in [None] if targets is None else targets.T:
        now = x.clone()
        for _ in range(steps):
            rows = everything[least > within]
            if not len(rows):
                return found
            image, at = x[rows], now[rows]
            if target is None and predict.targets is None:
                logits, f, weight = boundaries.nearest(predict, at, rows, norm, within=None)
            else:
                logits, f, weight = boundaries.towards(predict, at, rows, None if target is None else target[rows])
            at = _step(image, at, f - _clear(logits), weight, norm)
            logits = predict(at, rows).detach()
            fooled = loss(logits, rows) > _clear(logits)
            length = norms(at - image, norm)
            better = fooled & (length < least[rows])
            found[rows[better]], least[rows[better]] = at[better], length[better]
            now[rows] = torch.where(balls.each(fooled), image + _KEPT * (at - image), at)
    return _closer(predict, x, found, everything[least.isfinite() & (least > within)])


def _step(image: Tensor, at: Tensor, f: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    """To the plane from the point reached, drawn to where the image itself meets the plane (Eqs. 9-11)."""
    step = boundaries.onto(at, weight, f, norm) - at
    direct = boundaries.onto(image, weight, f + (weight * (image - at)).flatten(1).sum(1), norm) - image
    near, far = norms(step, norm), norms(direct, norm)
    share = balls.each((near / (near + far).clamp_min(losses.TINY)).clamp(max=_FROM_IMAGE))
    return ((1 - share) * (at + _OVERSHOOT * step) + share * (image + _OVERSHOOT * direct)).clamp(0, 1)


@torch.no_grad()
def _closer(predict: CountingModel, x: Tensor, found: Tensor, rows: Tensor) -> Tensor:
    """Adversaries with those of `rows` nearer to the image, on the line to it where the margin, taken as linear, ends.

    Section 3.4: a few steps of the method of false position.
    """
    if not len(rows):
        return found
    loss, change = losses.margin(predict), found[rows] - x[rows]

    def beyond(part: Tensor) -> Tensor:
        logits = predict(x[rows] + balls.each(part) * change, rows)
        return loss(logits, rows) - _clear(logits)

    start, end = x.new_zeros(len(rows)), x.new_ones(len(rows))
    low, high = beyond(start), beyond(end)
    for _ in range(_SEARCHES):
        middle = start + (end - start) * (low / (low - high)).clamp(0.05, 0.95)
        value = beyond(middle)
        fooled = value > 0
        start, low = torch.where(fooled, start, middle), torch.where(fooled, low, value)
        end, high = torch.where(fooled, middle, end), torch.where(fooled, value, high)
    found = found.clone()
    found[rows] = torch.where(balls.each(end == 1), found[rows], x[rows] + balls.each(end) * change)
    return found


def _clear(logits: Tensor) -> Tensor:
    """The margin that an adversary has at least: (m, K) -> (m,)."""
    return _CLEAR * (logits.amax(1) - logits.amin(1))
