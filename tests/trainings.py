"""A small training: the settings and images that tests of the loop, its snapshots and its processes share."""

import torch
from torch import Tensor

from spectroscope.pipeline import machine, params
from spectroscope.training.loop import TrainingSettings

SETTINGS = {
    "seeds": [0],
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "schedule": "cyclic",
    "warmup": 0.3,
    "average": None,
    "keep": "last",
    "batch_norm": "synchronised",
    "held_out": 0.25,
    "validation_attack": {
        "name": "adversarial",
        "norm": "linf",
        "eps_255": 8,
        "step_255": 4,
        "steps": 2,
        "random_start": True,
    },
    "augmentation": {"flip": True, "crop": 1},
}


def settings(**changes) -> TrainingSettings:
    return params.validate({**SETTINGS, **changes}, TrainingSettings, "training")


def bright_or_dark(n: int = 80, channels: int = 1, signal: float = 0.5) -> tuple[Tensor, Tensor]:
    """Two classes of noise that differ in brightness by `signal`: (n, channels, 8, 8), labels (n,)."""
    labels = torch.arange(n) % 2
    noise = torch.rand(n, channels, 8, 8, generator=machine.generator(0))
    return (1 - signal) * noise + signal * labels[:, None, None, None], labels
