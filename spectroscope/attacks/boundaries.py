"""Linearised decision boundaries: the planes that DeepFool and FAB step to, and the exact step to them.

At a point z, a difference f of two logits with gradient w, negative before the boundary, is linearised: the boundary is
the plane of the points z' with f + <w, z' - z> = 0.
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

_MAX_NEWTON_STEPS = 50  # about five are needed
DUAL: dict[str, Literal["l1", "l2"]] = {"linf": "l1", "l2": "l2"}


def towards(model: CountingModel, z: Tensor, rows: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (m, K), f (m,) and its gradient (m, C, H, W) at z, versions of the images `rows`, by one backward pass.

    With targets (m,), f is the target's logit minus the label's. Without, it is the margin of the attack's own goal.
    """
    if targets is None:
        return losses.value_and_gradient(model, z, rows, losses.margin(model))

    def difference(logits: Tensor, rows: Tensor) -> Tensor:
        target, label = (logits.gather(1, classes[:, None])[:, 0] for classes in (targets, model.labels[rows]))
        return target - label

    return losses.value_and_gradient(model, z, rows, difference)


def nearest(
    model: CountingModel, z: Tensor, rows: Tensor, norm: Norm, project: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (m, K), f (m,) and its gradient (m, C, H, W) for the class whose linearised boundary is nearest to z.

    Its distance is |f| / the dual norm of the gradient. One backward pass for each class. `project`: a projection of
    gradients onto a subspace, None for the whole space.
    """
    labels = model.labels[rows]
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = model(z, rows)
        differences = logits - logits.gather(1, labels[:, None])  # (m, K)
        value, weight = z.new_zeros(len(z)), torch.zeros_like(z)
        least = z.new_full((len(z),), math.inf)
        for label in range(logits.shape[1]):
            (gradient,) = torch.autograd.grad(differences[:, label].sum(), z, retain_graph=True)
            gradient = project(gradient) if project else gradient
            f = differences[:, label].detach()
            distance = f.abs() / norms(gradient, DUAL[norm]).clamp_min(losses.TINY)
            nearer = (labels != label) & (distance < least)
            least, value = torch.where(nearer, distance, least), torch.where(nearer, f, value)
            weight = torch.where(balls.each(nearer), gradient, weight)
    return logits.detach(), value, weight


def project_onto_plane(point: Tensor, weight: Tensor, f: Tensor, norm: Norm) -> Tensor:
    """The nearest point of both the plane f + <weight, z - point> = 0 and [0, 1]: (m, C, H, W).

    Where plane and cube do not meet: the point of the cube nearest to the plane. Exact (Croce & Hein 2020, FAB, Eq. 8):
    all pixels move together, in proportion to their weight (l2) or by the same length (l-inf), until they meet 0 or 1.
    The gain in f is concave and piecewise linear in that length. Hence Newton's method, which follows the tangent to
    the gain that is needed, goes up to the exact length from below and ends there.
    """
    flat, weight, needed_gain = point.flatten(1), weight.flatten(1) * -f.sign()[:, None], f.abs()[:, None]
    direction = weight if norm == "l2" else weight.sign()
    room = torch.where(direction > 0, 1 - flat, flat)
    stops = room / direction.abs().clamp_min(losses.TINY)  # the length at which each pixel meets 0 or 1
    gains, rates = (
        room * weight.abs(),
        weight * direction,
    )  # gain in f of each pixel: in all, and for each unit of length
    length = torch.zeros_like(needed_gain)
    for _ in range(_MAX_NEWTON_STEPS):
        moving, previous = stops > length, length
        slope = (rates * moving).sum(1, keepdim=True)
        tangent_length = (needed_gain - (gains * ~moving).sum(1, keepdim=True)) / slope.clamp_min(losses.TINY)
        length = torch.maximum(previous, tangent_length)
        if torch.equal(length, previous):
            break
    length = torch.where(gains.sum(1, keepdim=True) < needed_gain, stops.amax(1, keepdim=True), length)
    return (flat + length * direction).clamp(0, 1).view_as(point)
