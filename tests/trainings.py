"""A small training: settings, images and networks that the tests of the loop, its checkpoints and processes share."""

import torch
from torch import nn

from spectroscope.models import architectures
from spectroscope.pipeline import io, machine, params
from spectroscope.training import loop
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.settings import TrainingSettings

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
    "threads": None,
    "held_out": 0.25,
    "validation_attack": {
        "name": "adversarial",
        "norm": "linf",
        "eps_255": 8,
        "step_255": 4,
        "steps": 2,
        "random_start": True,
    },
    "augmentation": {"flip": True, "crop": 1, "padding": "zero"},
}

NO_CHANGE = {"flip": False, "crop": 0, "padding": "zero"}


def settings(**changes) -> TrainingSettings:
    return params.validate({**SETTINGS, **changes}, TrainingSettings, "training")


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bright_or_dark(n: int = 80, channels: int = 1, signal: float = 0.5) -> io.Images:
    """Two classes of noise that differ in brightness by `signal`: n images (channels, 8, 8)."""
    labels = torch.arange(n) % 2
    noise = torch.rand(n, channels, 8, 8, generator=machine.generator(0))
    return io.Images((1 - signal) * noise + signal * labels[:, None, None, None], labels, ("dark", "bright"))


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architectures.build("resnet8", (1, 8, 8), 2)


def linear(n_classes: int = 2) -> nn.Sequential:
    """A model of the 64 pixels that starts with all logits zero."""
    layer = nn.Linear(64, n_classes)
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), layer)


def untouched(model, images, labels, generator):
    """An attack that does nothing."""
    return images


def fit(model, hooks=None, validation_attack=untouched, seed=0, images=None, **changes) -> list[dict]:
    """The rows of a training with these changes to the settings."""
    images, hooks = images or bright_or_dark(), hooks or TrainingHooks()
    return list(loop.fit(model, images, settings(**changes), hooks, validation_attack, random(seed)))


def accuracy(model, images, labels) -> float:
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).double().mean())
