"""Accuracy on held-out training images after an epoch, and which epoch's weights to keep."""

from itertools import zip_longest
from typing import Any, Literal

import torch
from scipy.special import bdtrc
from torch import Tensor, nn

from spectroscope.pipeline import machine, memory, processes
from spectroscope.training.hooks import Adversary

COLLAPSE = 0.5  # of the best own robust accuracy so far
CHANCE = 0.001  # how likely a guess is as good as an accuracy that counts as better than chance
VALIDATION_BATCH_SIZE = 256  # on every machine: a batch's number seeds its attack


def accuracies(
    model: nn.Module, images: Tensor, labels: Tensor, attack: Adversary, own_attack: Adversary | None, *keys: int
) -> dict[str, float | None]:
    """Accuracy on images that are `clean`, changed by `attack` (`robust`), and changed by `own_attack` (`own_robust`).

    own_robust is None without an own attack. In batches, which the processes share; each attack on batch i draws from
    the generator of (*keys, i), whichever process takes it.
    """
    attacks = [attack, own_attack] if own_attack else [attack]
    batches = list(zip(images.split(VALIDATION_BATCH_SIZE), labels.split(VALIDATION_BATCH_SIZE), strict=True))
    correct = torch.zeros(1 + len(attacks), dtype=torch.float64, device=images.device)
    for number in processes.my_items(range(len(batches))):
        x, y = batches[number]
        with memory.at_once("VALIDATION_BATCH_SIZE in spectroscope/training/held_out.py", len(x)):
            attacked = [change(model, x, y, machine.generator(*keys, number)) for change in attacks]
            correct += torch.stack([_count_correct(model, shown, y) for shown in (x, *attacked)])
    processes.all_reduce_([correct])
    return dict(zip_longest(("clean", "robust", "own_robust"), (correct / len(labels)).tolist()))


@torch.no_grad()
def _count_correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return (model(images).argmax(1) == labels).sum()


def collapsed(own_robust: float | None, previous: list[dict[str, Any]], labels: Tensor) -> bool:
    """Whether own robust accuracy is below COLLAPSE times its best so far: catastrophic overfitting.

    Wong et al. 2020, section 5.4. Their flag looks at the ball that is trained against, as this one does: accuracy in
    a larger one is near chance and varies. labels: those of the held-out images. A best that a guess of their most
    frequent class reaches with probability CHANCE or more (a binomial tail) cannot collapse.
    """
    if own_robust is None or not previous:
        return False
    best = max(row["own_robust"] for row in previous)
    n, guess = len(labels), float(labels.bincount().max()) / len(labels)
    return bool(bdtrc(round(best * n) - 1, n, guess) < CHANCE) and own_robust < COLLAPSE * best


def select_epoch(rows: list[dict[str, Any]], keep: Literal["last", "best"]) -> int:
    """Index of the epoch whose weights are kept: the last or the best, whatever the flag `overfitted` says.

    The best has the highest robust accuracy; ties are broken by clean accuracy, then in favour of the later epoch.
    """
    if keep == "last":
        return len(rows) - 1
    return max(range(len(rows)), key=lambda i: (rows[i]["robust"], rows[i]["clean"], i))
