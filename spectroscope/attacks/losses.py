"""What attacks climb: losses that are larger where the attack is nearer to its goal, and their gradients.

A loss is a function of logits (m, K) and of the rows (m,) of the images they belong to, so that an attack can drop
images. Without targets the label is to be left, with targets the target is to be reached.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel

Loss = Callable[[Tensor, Tensor], Tensor]  # (m, K), (m,) -> (m,)
TINY = 1e-12


def cross_entropy(predict: CountingModel) -> Loss:
    """Cross-entropy as far as its order and the direction of its gradient go, and never flat: see `log_odds`."""
    return lambda logits, rows: -predict.odds(logits, rows)


def margin(predict: CountingModel) -> Loss:
    """Largest other logit minus the label's, or the target's minus the largest other: positive where it is reached."""
    wanted = predict.labels if predict.targets is None else predict.targets
    sign = -1 if predict.targets is None else 1

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        classes = wanted[rows][:, None]
        others = logits.scatter(1, classes, -math.inf).amax(1)
        return sign * (logits.gather(1, classes)[:, 0] - others)

    return loss


def dlr(predict: CountingModel) -> Loss:
    """Difference of logits ratio, unchanged when logits are shifted or scaled (Croce & Hein 2020, Eqs. 6 and 7).

    With targets it is `targeted_dlr`. ValueError below 3 classes.
    """
    if predict.targets is not None:
        return targeted_dlr(predict, predict.targets)
    _check(predict, 3, "dlr")
    numerator = margin(predict)

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        first, _, third = logits.topk(3, 1).values.unbind(1)
        return numerator(logits, rows) / (first - third).clamp_min(TINY)

    return loss


def targeted_dlr(predict: CountingModel, targets: Tensor) -> Loss:
    """-(z_y - z_t) / (z_1 - (z_3 + z_4) / 2), z_1 >= z_2 ... (Croce & Hein 2020, Eq. 7); ValueError below 4 classes."""
    _check(predict, 4, "targeted_dlr")

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        first, _, third, fourth = logits.topk(4, 1).values.unbind(1)
        wanted, label = (logits.gather(1, each[rows][:, None])[:, 0] for each in (targets, predict.labels))
        return (wanted - label) / (first - (third + fourth) / 2).clamp_min(TINY)

    return loss


def value_and_gradient(predict: CountingModel, x: Tensor, rows: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (m, K), loss (m,) and its gradient (m, C, H, W) at x (m, C, H, W), versions of the images `rows`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = predict(x, rows)
        value = loss(logits, rows)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return logits.detach(), value.detach(), gradient


def runners_up(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The `count` classes of the largest logits beside the label, largest first: (N, K), (N,) -> (N, count)."""
    known = logits.shape[1] - 1
    if count > known:
        raise ValueError(f"expected n_targets <= {known} for {known + 1} classes, got {count}")
    return logits.scatter(1, labels[:, None], -math.inf).topk(count, 1).indices


def _check(predict: CountingModel, count: int, name: str) -> None:
    if predict.n_classes < count:
        raise ValueError(f"expected at least {count} classes for the loss {name}, got {predict.n_classes}")
