"""Losses that attacks climb, larger where the attack is nearer to its goal, and their gradients.

A loss is a function of logits (m, K) and of the rows (m,) of the images they belong to, so that an attack can drop
images. Without targets the goal is any class but the label, with targets it is the target.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel

Loss = Callable[[Tensor, Tensor], Tensor]  # (m, K), (m,) -> (m,)
TINY = 1e-12


def cross_entropy(model: CountingModel) -> Loss:
    """A loss of the order and the gradient direction of the cross-entropy that never saturates: see `log_odds`."""
    return lambda logits, rows: -model.objective(logits, rows)


def margin(model: CountingModel) -> Loss:
    """The largest other logit minus the label's, or the target's minus the largest other: positive where it fools."""
    classes = model.labels if model.targets is None else model.targets
    sign = -1 if model.targets is None else 1

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        columns = classes[rows][:, None]
        largest_other = logits.scatter(1, columns, -math.inf).amax(1)
        return sign * (logits.gather(1, columns)[:, 0] - largest_other)

    return loss


def dlr(model: CountingModel) -> Loss:
    """Difference of logits ratio, unchanged when logits are shifted or scaled (Croce & Hein 2020, Eqs. 6 and 7).

    With targets it is `targeted_dlr`. ValueError below 3 classes.
    """
    if model.targets is not None:
        return targeted_dlr(model, model.targets)
    _check_classes(model, 3, "dlr")
    numerator = margin(model)

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        first, _, third = logits.topk(3, 1).values.unbind(1)
        return numerator(logits, rows) / (first - third).clamp_min(TINY)

    return loss


def targeted_dlr(model: CountingModel, targets: Tensor) -> Loss:
    """-(z_y - z_t) / (z_1 - (z_3 + z_4) / 2), z_1 >= z_2 ... (Croce & Hein 2020, Eq. 7); ValueError below 4 classes."""
    _check_classes(model, 4, "targeted_dlr")

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        first, _, third, fourth = logits.topk(4, 1).values.unbind(1)
        target, label = (logits.gather(1, classes[rows][:, None])[:, 0] for classes in (targets, model.labels))
        return (target - label) / (first - (third + fourth) / 2).clamp_min(TINY)

    return loss


def value_and_gradient(model: CountingModel, x: Tensor, rows: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (m, K), loss (m,) and its gradient (m, C, H, W) at x (m, C, H, W), versions of the images `rows`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x, rows)
        value = loss(logits, rows)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return logits.detach(), value.detach(), gradient


def runners_up(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The `count` classes of the largest logits except the label, largest first: (N, K), (N,) -> (N, count)."""
    available = logits.shape[1] - 1
    if count > available:
        raise ValueError(f"expected n_targets <= {available} for {available + 1} classes, got {count}")
    return logits.scatter(1, labels[:, None], -math.inf).topk(count, 1).indices


def _check_classes(model: CountingModel, count: int, loss: str) -> None:
    if model.n_classes < count:
        raise ValueError(f"expected at least {count} classes for the loss {loss}, got {model.n_classes}")
