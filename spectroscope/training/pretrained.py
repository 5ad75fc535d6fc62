"""Networks that are not trained here: load their weights and check their accuracy on held-out images."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectroscope.models import architectures, loading
from spectroscope.models.held_out import require_accuracy, split
from spectroscope.pipeline import io, machine, memory
from spectroscope.training import trial
from spectroscope.training.held_out import VALIDATION_BATCH_SIZE, accuracies
from spectroscope.training.hooks import Adversary
from spectroscope.training.regimes.pretrained import Pretrained
from spectroscope.training.settings import TrainingSettings


def networks(regime: Pretrained, name: str, shape: tuple[int, ...], n_classes: int) -> Iterator[architectures.Network]:
    """A network in evaluation mode for each weights file; without files, the one that your own function returns.

    name, shape, n_classes: as in `architectures.build`. ValueError as in `loading`, and for a known architecture
    without weights.
    """
    if regime.weights is None and name in architectures.ARCHITECTURES:
        raise ValueError(f"regime.weights: expected a file, since {name} has no weights of its own, got null")
    for file in [None] if regime.weights is None else regime.weights:
        model = architectures.build(name, shape, n_classes)
        loading.restore(model, regime, file)
        yield model.eval()


def adopt(
    regime: Pretrained, name: str, train: io.Images, settings: TrainingSettings, attack: Adversary
) -> tuple[list[nn.Module], list[dict[str, Any]]]:
    """The networks of a regime, and for each the row that training would write after an epoch; `attack` validates.

    ValueError for weights that do not fit, a fault found by the preflight, and a held-out accuracy below
    `regime.least_accuracy`.
    """
    models: list[nn.Module] = list(networks(regime, name, tuple(train.pixels.shape[1:]), len(train.classes)))
    rows = []
    for seed, model in enumerate(models):
        trial.require_sound(model.to(machine.device()), train)
        row = examine(model, train, settings, attack, machine.generator(seed))
        require_accuracy(row["clean"], regime)
        rows.append({"seed": seed, **row, "kept": True})
    return models, rows


def examine(
    model: nn.Module, train: io.Images, settings: TrainingSettings, attack: Adversary, generator: torch.Generator
) -> dict[str, Any]:
    """Loss, clean and robust accuracy on the held-out images, as the row of an epoch 0.

    ValueError as for `on_held_out`.
    """
    x, y, logits = on_held_out(model, train, settings)
    row: dict[str, Any] = {"epoch": 0, "loss": F.cross_entropy(logits, y).item()}
    row |= accuracies(model, x, y, attack, None, generator.initial_seed())
    return {**row, "overfitted": False, "images_per_second": None, "processes": None}


def on_held_out(model: nn.Module, train: io.Images, settings: TrainingSettings) -> tuple[Tensor, Tensor, Tensor]:
    """The held-out images, their labels and the logits of a network in evaluation mode, all on its device.

    ValueError for logits that are not finite or not (N, n_classes).
    """
    _, held_out = split(train, settings.held_out)
    x, y = train.pixels[held_out].to(machine.device()), train.labels[held_out].to(machine.device())
    with torch.no_grad():
        logits = memory.halving(lambda size: torch.cat([model(part) for part in x.split(size)]), VALIDATION_BATCH_SIZE)
    wanted = (len(y), len(train.classes))
    if tuple(logits.shape) != wanted or not logits.isfinite().all():
        raise ValueError(f"expected finite logits of shape {wanted}, got shape {tuple(logits.shape)}")
    return x, y, logits
