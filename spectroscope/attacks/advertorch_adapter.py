"""advertorch 0.2.3 in this project's words; the only file that knows it.

Its import costs seconds (it brings torchvision), so it happens inside the functions. Its answers are never trusted:
the caller checks bounds and success with forward passes of its own.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel

_MARGIN = 0.02


def fgsm(predict: CountingModel, x: Tensor, labels: Tensor, eps: float) -> Tensor:
    """One step of l-inf size eps: x (N, C, H, W) -> adversaries (N, C, H, W)."""
    return _attacks().GradientSignAttack(predict, _loss(predict), eps=float(eps)).perturb(x, labels)


def cw(
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    confidence: float,
    learning_rate: float,
    initial_const: float,
    search_steps: int,
    steps: int,
) -> Tensor:
    """The nearest adversary found, or x: (N, C, H, W).

    No early abort: advertorch decides it by the loss of the whole batch, so a result would depend on batch mates.
    Carlini & Wagner map the line onto (0, 1) by tanh, whose slope is nought at 0 and at 1: a pixel that starts there
    stays. Here tanh covers [-0.02, 1.02] and the model sees the values clamped to [0, 1], as does the caller.
    """
    attack = _attacks().CarliniWagnerL2Attack(
        lambda z: predict(z.clamp(0, 1)),
        predict.n_classes,
        confidence=confidence,
        learning_rate=learning_rate,
        binary_search_steps=search_steps,
        max_iterations=steps,
        abort_early=False,
        initial_const=initial_const,
        clip_min=-_MARGIN,
        clip_max=1 + _MARGIN,
        targeted=predict.targets is not None,
    )
    return attack.perturb(x, labels if predict.targets is None else predict.targets).clamp(0, 1)


def _loss(predict: CountingModel) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy as far as an attack that uses only each gradient's direction can tell; see `log_odds`.

    Summed over the batch, so that no image's gradient depends on how many others there are.
    """
    return lambda logits, labels: -predict.odds(logits).sum()


def _attacks() -> ModuleType:
    """`advertorch.attacks`. torch lacks `zero_gradients` since 1.9; only advertorch's FAB, unused, calls it.

    `torch.autograd.gradcheck` names a function too, hence `sys.modules`.
    """
    gradcheck = sys.modules["torch.autograd.gradcheck"]
    gradcheck.zero_gradients = None
    try:
        return importlib.import_module("advertorch.attacks")
    finally:
        del gradcheck.zero_gradients
