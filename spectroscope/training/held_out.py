"""Held-out training images: which they are, accuracy on them after an epoch, and which epoch's weights to keep."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from spectroscope.pipeline import machine, processes
from spectroscope.training.hooks import Adversary

COLLAPSE = 0.5
VALIDATION_BATCH_SIZE = 256  # on every machine: a batch's number seeds its attack


def split(labels: Tensor, held_out: float) -> tuple[Tensor, Tensor]:
    """Indices (training, held out): of each class the last `held_out` fraction, at least one image on either side.

    ValueError for a class with fewer than two images.
    """
    training, out = [], []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().flatten()
        if len(members) < 2:
            raise ValueError(f"expected at least 2 training images of class {label}, got {len(members)}")
        n = max(1, round(held_out * len(members)))
        training.append(members[:-n])
        out.append(members[-n:])
    return torch.cat(training).sort().values, torch.cat(out).sort().values


def accuracies(model: nn.Module, images: Tensor, labels: Tensor, attack: Adversary, *keys: int) -> dict[str, float]:
    """Accuracy on clean images and on those that `attack` makes of them (`robust`), in batches.

    The processes share the batches; batch i draws from the generator of (*keys, i), whichever process takes it.
    """
    batches = list(zip(images.split(VALIDATION_BATCH_SIZE), labels.split(VALIDATION_BATCH_SIZE), strict=True))
    correct = torch.zeros(2, dtype=torch.float64, device=images.device)
    for number in processes.my_items(range(len(batches))):
        x, y = batches[number]
        attacked = attack(model, x, y, machine.generator(*keys, number))
        correct += torch.stack([_count_correct(model, x, y), _count_correct(model, attacked, y)])
    processes.all_reduce_([correct])
    clean, robust = (correct / len(labels)).tolist()
    return {"clean": clean, "robust": robust}


@torch.no_grad()
def _count_correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return (model(images).argmax(1) == labels).sum()


def collapsed(robust: float, previous: list[dict[str, Any]], n_classes: int) -> bool:
    """Whether robust accuracy is below COLLAPSE times its best so far: catastrophic overfitting.

    Wong et al. 2020, section 5.4. A best that is no better than chance cannot collapse.
    """
    best = max((row["robust"] for row in previous), default=0.0)
    return best > 1 / n_classes and robust < COLLAPSE * best


def select_epoch(rows: list[dict[str, Any]], keep: Literal["last", "best"]) -> int:
    """Index of the epoch whose weights are kept: the last, or the best if `keep` says so or any epoch was overfitted.

    The best has the highest robust accuracy; ties are broken by clean accuracy, then in favour of the later epoch.
    """
    if keep == "last" and not any(row["overfitted"] for row in rows):
        return len(rows) - 1
    return max(range(len(rows)), key=lambda i: (rows[i]["robust"], rows[i]["clean"], i))
