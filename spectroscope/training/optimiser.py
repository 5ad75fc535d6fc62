"""SGD and its learning-rate schedule."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spectroscope.training.settings import TrainingSettings


def sgd(model: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    """SGD on all weights, with Nesterov momentum if there is any."""
    groups = weight_decay_groups(model, settings.weight_decay)
    nesterov = settings.momentum > 0
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=nesterov)


def weight_decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels, none on biases and BatchNorm."""
    weights = list(model.parameters())
    return [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]


def lr_multiplier(settings: TrainingSettings, n_steps: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate in (0, 1]: linear warm-up, then linear or cosine decay to 0 at `n_steps`."""
    warmup = settings.warmup * n_steps

    def multiplier(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        decayed = (step - warmup) / max(1.0, n_steps - warmup)
        return 1 - decayed if settings.schedule == "cyclic" else 0.5 * (1 + math.cos(math.pi * decayed))

    return multiplier
