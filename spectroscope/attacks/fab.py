"""FAB: small perturbations in l-inf or l2 by steps to the linearised boundary (Croce & Hein 2020, FAB)."""

import math
from typing import Literal

import torch
from torch import Tensor

from spectroscope.attacks import boundaries, losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.nearest import NearestOfTargets
from spectroscope.attacks.sizes import Count
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms

_MAX_IMAGE_WEIGHT = 0.1  # alpha_max: of the step that starts from the image
_OVERSHOOT = 1.05  # eta
_BACKWARD = 0.9  # beta: the share of the change that is kept after an adversary is found
_FINAL_STEPS = 3  # of the final search
_SAFE_MARGIN = 1e-5  # of the spread of the logits: by so much an adversary lies beyond the boundary


class Fab(NearestOfTargets):
    """The smallest change found in `steps` steps (Croce & Hein 2020, FAB).

    `n_targets`: null steps to the nearest of all boundaries, at the cost of a backward pass for each class; a number
    tries the boundaries of that many classes one after the other, those that score best on the clean image, at the cost
    of one backward pass a step.
    """

    method: Literal["fab"]
    norm: Literal["linf", "l2"]
    n_images: Count
    steps: Count


def fab(settings: Fab, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary found, x where there is none: (N, C, H, W). No randomness."""
    targets = None
    if model.targets is None and settings.n_targets is not None:
        logits = model(x, torch.arange(len(x), device=x.device)).detach()
        targets = losses.runners_up(logits, model.labels, settings.n_targets)
    return search(model, x, targets, settings.norm, settings.steps, sufficient_norm=0.0)


def search(
    model: CountingModel, x: Tensor, targets: Tensor | None, norm: Norm, steps: int, sufficient_norm: float
) -> Tensor:
    """The nearest adversary found, x where there is none: (N, C, H, W) (Croce & Hein 2020, FAB, Algorithm 1).

    targets (N, T): the classes whose boundaries to step to, one after the other; None for the target of the attack or,
    where it has none, for the nearest boundary at each step. An image is done as soon as an adversary of at most the
    sufficient norm is found; with 0 each image takes all steps.

    Deviation: the boundary is where the margin is `_SAFE_MARGIN` times the spread of the logits. The final search leads
    to the boundary itself; where the margin is 0, rounding decides the class, and does so differently in another batch.
    """
    loss = losses.margin(model)
    everything = torch.arange(len(x), device=x.device)
    nearest, distance = x.clone(), x.new_full((len(x),), math.inf)
    for target in [None] if targets is None else targets.T:
        iterates = x.clone()
        for _ in range(steps):
            rows = everything[distance > sufficient_norm]
            if not len(rows):
                return nearest
            image, z = x[rows], iterates[rows]
            if target is None and model.targets is None:
                logits, f, weight = boundaries.nearest(model, z, rows, norm, project=None)
            else:
                logits, f, weight = boundaries.towards(model, z, rows, None if target is None else target[rows])
            z = _step(image, z, f - _safe_margin(logits), weight, norm)
            logits = model(z, rows).detach()
            fooled = loss(logits, rows) > _safe_margin(logits)
            length = norms(z - image, norm)
            better = fooled & (length < distance[rows])
            nearest[rows[better]], distance[rows[better]] = z[better], length[better]
            iterates[rows] = torch.where(balls.each(fooled), image + _BACKWARD * (z - image), z)
    return _final_search(model, x, nearest, everything[distance.isfinite() & (distance > sufficient_norm)])


def _step(image: Tensor, z: Tensor, f: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    """A step from z to the plane, drawn towards the point where the image itself meets the plane (Eqs. 9-11)."""
    step = boundaries.project_onto_plane(z, weight, f, norm) - z
    f_at_image = f + (weight * (image - z)).flatten(1).sum(1)
    image_step = boundaries.project_onto_plane(image, weight, f_at_image, norm) - image
    length, image_length = norms(step, norm), norms(image_step, norm)
    share = balls.each((length / (length + image_length).clamp_min(losses.TINY)).clamp(max=_MAX_IMAGE_WEIGHT))
    return ((1 - share) * (z + _OVERSHOOT * step) + share * (image + _OVERSHOOT * image_step)).clamp(0, 1)


@torch.no_grad()
def _final_search(model: CountingModel, x: Tensor, nearest: Tensor, rows: Tensor) -> Tensor:
    """Moves the adversaries of `rows` along the line to their image, to where the margin, taken as linear, ends.

    Section 3.4: a few steps of the method of false position.
    """
    if not len(rows):
        return nearest
    loss, change = losses.margin(model), nearest[rows] - x[rows]

    def excess_margin(share: Tensor) -> Tensor:
        logits = model(x[rows] + balls.each(share) * change, rows)
        return loss(logits, rows) - _safe_margin(logits)

    start, end = x.new_zeros(len(rows)), x.new_ones(len(rows))
    low, high = excess_margin(start), excess_margin(end)
    for _ in range(_FINAL_STEPS):
        middle = start + (end - start) * (low / (low - high)).clamp(0.05, 0.95)
        value = excess_margin(middle)
        fooled = value > 0
        start, low = torch.where(fooled, start, middle), torch.where(fooled, low, value)
        end, high = torch.where(fooled, middle, end), torch.where(fooled, value, high)
    nearest = nearest.clone()
    nearest[rows] = torch.where(balls.each(end == 1), nearest[rows], x[rows] + balls.each(end) * change)
    return nearest


def _safe_margin(logits: Tensor) -> Tensor:
    """The least margin of an adversary: (m, K) -> (m,)."""
    return _SAFE_MARGIN * (logits.amax(1) - logits.amin(1))
