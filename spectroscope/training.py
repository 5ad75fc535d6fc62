"""One training loop for every regime: the adversary is an argument.

The data set is one tensor; augmentation works on the batch. A part of the training images is held out (the same for
every seed and regime) and measured after each epoch; the test images are never seen here.
"""

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

Adversary = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, torch.Generator], Tensor]
JUDGED = 256  # held-out images attacked at a time: the memory of one large batch, not of the whole part


class Augmentation(Settings):
    """Random mirror images, and shifts of up to `crop` pixels (zero padding, as usual on CIFAR)."""

    flip: bool
    crop: Annotated[int, Field(ge=0)]


class TrainingSettings(Settings):
    """SGD, with Nesterov momentum where it is above 0.

    After `warmup`, a part of all steps in which the learning rate rises, `cyclic` falls linearly and `cosine` smoothly.
    """

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["cyclic", "cosine"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
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
    adversary: Adversary | None,
    judge: Adversary,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place on images (N, C, H, W) and labels (N,); yield a row of figures after each epoch.

    The row: epoch, loss (on what was trained on), clean and robust (held-out accuracies, robust under `judge`),
    images_per_second. The adversary is called with the model in training mode, the judge in evaluation mode and with
    random numbers of its own: it never changes what is learned. The model ends in evaluation mode. ValueError when the
    loss is no longer finite.
    """
    device, judging = next(model.parameters()).device, runtime.generator(generator.initial_seed(), 1)
    kept, out = split(labels, settings.held_out)
    held_images, held_labels = images[out].to(device), labels[out].to(device)
    images, labels = images[kept].to(device), labels[kept].to(device)
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        _groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )
    steps = math.ceil(len(images) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _factor(settings, steps * settings.epochs))
    for epoch in range(1, settings.epochs + 1):
        started, total = time.perf_counter(), 0.0
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(settings.batch_size):
            x, y = augment(images[batch.to(device)], settings.augmentation, generator), labels[batch.to(device)]
            x = x.contiguous(memory_format=torch.channels_last)
            if adversary is not None:
                x = adversary(model, x, y, generator)
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        if not math.isfinite(total):
            raise ValueError(f"expected a finite training loss, got {total} in epoch {epoch}: lower the learning rate")
        speed = len(images) / (time.perf_counter() - started)
        model.eval()
        parts = zip(held_images.split(JUDGED), held_labels.split(JUDGED), strict=True)
        attacked = torch.cat([judge(model, x, y, judging) for x, y in parts])
        yield {
            "epoch": epoch,
            "loss": total / len(images),
            "clean": accuracy(model, held_images, held_labels),
            "robust": accuracy(model, attacked, held_labels),
            "images_per_second": speed,
        }


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
