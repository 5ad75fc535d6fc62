"""One training loop for every regime: the adversary, the regulariser and the input transform are arguments.

The data set is one tensor; augmentation works on the batch. A part of the training images is held out (the same for
every seed and regime) and measured after each epoch; the test images are never seen here.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from spectroscope import runtime
from spectroscope.params import Settings
from spectroscope.regimes.adversary import Adversary
from spectroscope.regimes.parts import Parts

COLLAPSE = 0.5  # robust accuracy below this part of the best so far is catastrophic overfitting
JUDGED = 256  # held-out images attacked at a time: the memory of one large batch, not of the whole part


class Augmentation(Settings):
    """Random mirror images, and shifts of up to `crop` pixels (zero padding, as usual on CIFAR)."""

    flip: bool
    crop: Annotated[int, Field(ge=0)]


class TrainingSettings(Settings):
    """SGD, with Nesterov momentum where it is above 0.

    After `warmup`, a part of all steps in which the learning rate rises, `cyclic` falls linearly and `cosine` smoothly.
    `average`: decay of a moving average of the weights, which then is what is measured and kept; null for none.
    `keep`: the weights of the last epoch or of the best one (early stopping, Rice et al. 2020).
    """

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cyclic", "cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    average: Annotated[float, Field(gt=0, lt=1)] | None
    keep: Literal["last", "best"]
    held_out: Annotated[float, Field(gt=0, lt=0.5)]
    augmentation: Augmentation

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"expected seeds that differ, got {seeds}")
        return seeds


def split(labels: Tensor, held_out: float) -> tuple[Tensor, Tensor]:
    """Indices (training, held out): of each class the last `held_out` part, at least one image of each part.

    ValueError for a class with fewer than two images.
    """
    kept, out = [], []
    for label in range(int(labels.max()) + 1):
        members = (labels == label).nonzero().flatten()
        if len(members) < 2:
            raise ValueError(f"expected at least 2 training images of class {label}, got {len(members)}")
        n = max(1, round(held_out * len(members)))
        kept.append(members[:-n])
        out.append(members[-n:])
    return torch.cat(kept).sort().values, torch.cat(out).sort().values


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
    generator: torch.Generator,
    parts: Parts,
    judge: Adversary,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place on images (N, C, H, W) and labels (N,); yield a row of figures after each epoch.

    The row: epoch, loss (on what was trained on), clean and robust (held-out accuracies, robust under `judge`),
    overfitted (a regime that trains for robustness has lost it), images_per_second. The parts of the regime are called
    with the model in training mode, the judge in evaluation mode and with random numbers of its own: it never changes
    what is learned. The model ends in evaluation mode, with the weights of the epoch that `kept` names. ValueError when
    the loss is no longer finite.
    """
    device, judging = next(model.parameters()).device, runtime.generator(generator.initial_seed(), 1)
    inner, out = split(labels, settings.held_out)
    held = images[out].to(device), labels[out].to(device)
    images, labels = images[inner].to(device), labels[inner].to(device)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        _groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )
    steps = math.ceil(len(images) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _factor(settings, steps * settings.epochs))
    measured = copy.deepcopy(model).requires_grad_(False) if settings.average else model
    rows, best = [], {}
    for epoch in range(1, settings.epochs + 1):
        started, total = time.perf_counter(), torch.zeros((), dtype=torch.float64, device=device)
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(settings.batch_size):
            x, y = augment(images[batch.to(device)], settings.augmentation, generator), labels[batch.to(device)]
            loss = objective(model, x, y, parts, generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if settings.average:
                follow(measured, model, settings.average, schedule.last_epoch)
            total += loss.detach().double() * len(batch)
        total = float(total)
        if not math.isfinite(total):
            raise ValueError(f"expected a finite training loss, got {total} in epoch {epoch}: lower the learning rate")
        speed = len(images) / (time.perf_counter() - started)
        figures = accuracies(measured.eval(), *held, judge, judging)
        overfitted = parts.robust and collapsed(figures["robust"], rows, n_classes=int(labels.max()) + 1)
        row = {"epoch": epoch, "loss": total / len(images), **figures, "overfitted": overfitted}
        rows.append({**row, "images_per_second": speed})
        if kept(rows, "best") == epoch - 1:
            best = copy.deepcopy(measured.state_dict())
        if epoch == settings.epochs:
            last = kept(rows, settings.keep) == epoch - 1
            model.eval().load_state_dict(measured.state_dict() if last else best)
        yield rows[-1]


def objective(model: nn.Module, x: Tensor, y: Tensor, parts: Parts, generator: torch.Generator) -> Tensor:
    """What a step descends: cross-entropy on what transform and adversary make of the batch, and regulariser."""
    x = x if parts.transform is None else parts.transform(x, y, generator)
    x = x.contiguous(memory_format=torch.channels_last)
    x = x if parts.adversary is None else parts.adversary(model, x, y, generator)
    logits = model(x.requires_grad_(parts.regulariser is not None))
    loss = F.cross_entropy(logits, y)
    return loss if parts.regulariser is None else loss + parts.regulariser(model, x, y, logits, generator)


def accuracies(
    model: nn.Module, images: Tensor, labels: Tensor, judge: Adversary, generator: torch.Generator
) -> dict[str, float]:
    """Clean and robust accuracy, the latter on what the judge makes of the images, a bounded number at a time."""
    parts = zip(images.split(JUDGED), labels.split(JUDGED), strict=True)
    attacked = torch.cat([judge(model, x, y, generator) for x, y in parts])
    return {"clean": accuracy(model, images, labels), "robust": accuracy(model, attacked, labels)}


def kept(rows: list[dict[str, Any]], keep: Literal["last", "best"]) -> int:
    """Which of the epochs' rows has the weights that are kept.

    The best is the one most accurate under the judge, then on clean images, then the latest. It is kept where `keep`
    says so, and wherever an epoch was overfitted.
    """
    if keep == "last" and not any(row["overfitted"] for row in rows):
        return len(rows) - 1
    return max(range(len(rows)), key=lambda i: (rows[i]["robust"], rows[i]["clean"], i))


def collapsed(robust: float, before: list[dict[str, Any]], n_classes: int) -> bool:
    """Catastrophic overfitting (Wong et al. 2020, section 5.4): robust accuracy has fallen to a part of what it was.

    What it was must have been better than chance.
    """
    best = max((row["robust"] for row in before), default=0.0)
    return best > 1 / n_classes and robust < COLLAPSE * best


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the model's weights and buffers, as an exponential moving average after `step` steps.

    The decay grows to its value as (1 + step) / (10 + step), so that the random start is soon forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def augment(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Each image mirrored or not and shifted by its own whole number of pixels: (N, C, H, W) -> (N, C, H, W)."""
    n, _, height, width = images.shape
    if settings.flip:
        mirrored = torch.rand(n, generator=generator).to(images.device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if settings.crop:
        pad = settings.crop
        shift = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(images.device)
        rows = shift[0][:, None] + torch.arange(height, device=images.device)  # (N, H)
        columns = shift[1][:, None] + torch.arange(width, device=images.device)  # (N, W)
        padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)  # (N, H + 2 pad, W + 2 pad, C)
        each = torch.arange(n, device=images.device)[:, None, None]
        images = padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Share of images whose largest logit is at the label."""
    right = 0
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        right += int((model(x).argmax(1) == y).sum())
    return right / len(labels)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels, none on biases and BatchNorm."""
    tensors = list(model.parameters())
    return [
        {"params": [tensor for tensor in tensors if tensor.ndim > 1], "weight_decay": weight_decay},
        {"params": [tensor for tensor in tensors if tensor.ndim <= 1], "weight_decay": 0.0},
    ]


def _factor(settings: TrainingSettings, steps: int) -> Callable[[int], float]:
    """Learning rate as a part of the largest, by step: a linear rise over `warmup`, then linear or cosine to zero."""
    rise = settings.warmup * steps

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        done = (step - rise) / max(1.0, steps - rise)
        return 1 - done if settings.schedule == "cyclic" else 0.5 * (1 + math.cos(math.pi * done))

    return factor
