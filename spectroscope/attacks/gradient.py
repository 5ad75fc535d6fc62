"""White-box attacks by the gradient of the logits: FGSM and CW, computed by advertorch."""

import torch
from torch import Tensor

from spectroscope.attacks import advertorch_adapter
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings import Cw, Fgsm


def fgsm(
    settings: Fgsm, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """x + eps sign(gradient), (N, C, H, W) (Goodfellow et al. 2015, section 4); no randomness."""
    return advertorch_adapter.fgsm(predict, x, labels, settings.ball.eps)


def cw(settings: Cw, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary found in l2, (N, C, H, W), wherever it lies; no randomness."""
    return advertorch_adapter.cw(
        predict,
        x,
        labels,
        settings.confidence,
        settings.learning_rate,
        settings.initial_const,
        settings.search_steps,
        settings.steps,
    )


def drawn_back(settings: Cw, x: Tensor, adversaries: Tensor) -> Tensor:
    """Adversaries drawn back onto the l2 ball of radius `eps` where one is set: (N, C, H, W) twice -> (N, C, H, W).

    What is drawn back may fool no longer (Wang et al. 2020 do not say what they did then): the caller tests it.
    """
    if settings.eps is None:
        return adversaries
    change = adversaries - x
    length = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
    return x + change * (settings.eps / length).clamp(max=1)[:, None, None, None]
