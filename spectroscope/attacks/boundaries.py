"""Linearised decision boundaries: the planes that DeepFool and FAB step to, and the way to them.

At a point z the boundary of a difference f of logits, negative before it, is the plane f + <weight, z' - z> = 0.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms

_TANGENTS = 50  # of which some five are needed
_DUAL: dict[str, Literal["l1", "l2"]] = {"linf": "l1", "l2": "l2"}


def towards(predict: CountingModel, at: Tensor, rows: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (m, K), f (m,) and weight (m, C, H, W) at `at`, versions of the images `rows`, at one gradient.

    With targets (m,), f is the target's logit minus the label's. Without, it is the margin of the attack's own goal.
    """

    def difference(logits: Tensor, rows: Tensor) -> Tensor:
        wanted, label = (logits.gather(1, classes[:, None])[:, 0] for classes in (targets, predict.labels[rows]))
        return wanted - label

    loss = losses.margin(predict) if targets is None else difference
    return losses.value_and_gradient(predict, at, rows, loss)


def nearest(
    predict: CountingModel, at: Tensor, rows: Tensor, norm: Norm, within: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for the class whose boundary is nearest by the linear model, |f| / dual norm of the weight.

    A gradient for each class. `within`: a projection to the subspace in which weights are taken, None for no other.
    """
    labels = predict.labels[rows]
    with torch.enable_grad():
        x = at.detach().requires_grad_()
        logits = predict(x, rows)
        differences = logits - logits.gather(1, labels[:, None])  # (m, K)
        value, weight = at.new_zeros(len(at)), torch.zeros_like(at)
        least = at.new_full((len(at),), math.inf)
        for other in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad(differences[:, other].sum(), x, retain_graph=True)
            gradient = within(gradient) if within else gradient
            f = differences[:, other].detach()
            distance = f.abs() / norms(gradient, _DUAL[norm]).clamp_min(losses.TINY)
            nearer = (labels != other) & (distance < least)
            least, value = torch.where(nearer, distance, least), torch.where(nearer, f, value)
            weight = torch.where(balls.each(nearer), gradient, weight)
    return logits.detach(), value, weight


def onto(point: Tensor, weight: Tensor, f: Tensor, norm: Norm) -> Tensor:
    """The nearest point of the plane and of [0, 1], or the nearest to the plane where they do not meet: (m, C, H, W).

    Exact (Croce & Hein 2020, FAB, Eq. 8): pixels move in proportion to their weight (l2) or all alike (l-inf) until
    they meet 0 or 1. What is gained in f is concave and piecewise linear in the length moved, so that the lengths at
    which a tangent reaches the plane (Newton's method) grow up to the one that is needed, and stay there.
    """
    flat, weight, wanted = point.flatten(1), weight.flatten(1) * -f.sign()[:, None], f.abs()[:, None]
    way = weight if norm == "l2" else weight.sign()
    room = torch.where(way > 0, 1 - flat, flat)
    stops = room / way.abs().clamp_min(losses.TINY)  # the length at which each pixel stops
    gains, rates = room * weight.abs(), weight * way  # in f, of each pixel: up to its stop, by unit of length
    length = torch.zeros_like(wanted)
    for _ in range(_TANGENTS):
        moving, last = stops > length, length
        slope = (rates * moving).sum(1, keepdim=True)
        needed = (wanted - (gains * ~moving).sum(1, keepdim=True)) / slope.clamp_min(losses.TINY)
        length = torch.maximum(last, needed)
        if torch.equal(length, last):
            break
    length = torch.where(gains.sum(1, keepdim=True) < wanted, stops.amax(1, keepdim=True), length)
    return (flat + length * way).clamp(0, 1).view_as(point)
