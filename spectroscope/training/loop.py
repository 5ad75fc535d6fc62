"""One training loop for every regime: the adversary, the regulariser and the input transform are arguments.

The data set is one tensor; augmentation works on the batch. A part of the training images is held out (the same for
every seed and regime) and measured after each epoch; the test images are never seen here.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from spectroscope.pipeline import checkpoint, machine, processes
from spectroscope.pipeline.params import Settings
from spectroscope.training import batchnorm, resume
from spectroscope.training.adversary import Adversary
from spectroscope.training.hooks import Parts
from spectroscope.training.regimes import Adversarial

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
    `batch_norm`: whether several processes take statistics over the whole batch, as one does, or each over its share.
    `validation_attack`: measures robust accuracy on held-out images after each epoch; it never changes what is learned.
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
    batch_norm: Literal["synchronised", "per_process"]
    held_out: Annotated[float, Field(gt=0, lt=0.5)]
    augmentation: Augmentation
    validation_attack: Adversarial

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


@dataclass
class Progress:
    """How far a training is: the rows of whole epochs, and what is known of the one under way."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best epoch
    order: Tensor | None = None  # of the images; None before the epoch's first batch
    batch: int = 0
    total: float = 0.0  # loss, summed over images
    seconds: float = 0.0


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
    generator: torch.Generator,
    parts: Parts,
    judge: Adversary,
    slot: checkpoint.CheckpointFile | None = None,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place on images (N, C, H, W) and labels (N,); yield a row of figures after each epoch.

    The row: epoch, loss (on what was trained on), clean and robust (held-out accuracies, robust under `judge`),
    overfitted (a regime that trains for robustness has lost it), images_per_second, processes. The parts of the regime
    are called with the model in training mode, the judge in evaluation mode and with random numbers of its own: it
    never changes what is learned. The model ends in evaluation mode, with the weights of the epoch that `kept` names.

    With a `slot` the training is saved there after every epoch and every few minutes, and goes on from what is found
    there: the weights are those of a training that was never stopped. With several processes each takes its share of
    every batch; the gradients are summed by hand, since DistributedDataParallel excludes `autograd.grad`, which
    adversaries and penalties need. ValueError when the loss is no longer finite, or a batch has no image for a process.
    """
    if settings.batch_size < processes.world_size():
        raise ValueError(
            f"expected batch_size >= {processes.world_size()}, one image a process, got {settings.batch_size}"
        )
    device, seed = next(model.parameters()).device, generator.initial_seed()
    inner, out = split(labels, settings.held_out)
    held = images[out].to(device), labels[out].to(device)
    images, labels = images[inner].to(device), labels[inner].to(device)
    model.to(memory_format=torch.channels_last)
    if settings.batch_norm == "synchronised" and processes.world_size() > 1:
        batchnorm.synchronise(model)
    optimiser = torch.optim.SGD(
        _groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )
    steps = math.ceil(len(images) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _factor(settings, steps * settings.epochs))
    measured = copy.deepcopy(model).requires_grad_(False) if settings.average else model
    state = {"model": model, "optimiser": optimiser, "schedule": schedule, "generator": generator}
    state |= {"measured": measured} if settings.average else {}
    now = Progress()
    if slot and (saved := slot.load()):
        now = Progress(**resume.put_back(saved, state))
        model.eval()
    processes.barrier()  # else the first could overwrite what another is about to read
    yield from now.rows
    for epoch in range(len(now.rows) + 1, settings.epochs + 1):
        started = time.perf_counter() - now.seconds
        total = torch.tensor(now.total, dtype=torch.float64, device=device)
        model.train()
        now.order = torch.randperm(len(images), generator=generator) if now.order is None else now.order
        for number, batch in list(enumerate(now.order.split(settings.batch_size)))[now.batch :]:
            x, y = augment(images[batch.to(device)], settings.augmentation, generator), labels[batch.to(device)]
            own = machine.generator(int(torch.randint(2**31, (), generator=generator)), processes.rank())
            share, weight = processes.shard(len(batch))
            loss = weight * objective(model, x[share], y[share], parts, own)
            optimiser.zero_grad()
            loss.backward()
            loss = loss.detach()
            processes.all_reduce_([loss, *(tensor.grad for tensor in model.parameters() if tensor.grad is not None)])
            optimiser.step()
            schedule.step()
            if settings.average:
                follow(measured, model, settings.average, schedule.last_epoch)
            total += loss.double() * len(batch)
            if slot and slot.due():
                now.batch, now.total, now.seconds = number + 1, float(total), time.perf_counter() - started
                slot.save(*resume.take(state, **vars(now)))
        loss, speed = float(total) / len(images), len(images) / (time.perf_counter() - started)
        if not math.isfinite(loss):
            raise ValueError(f"expected a finite training loss, got {loss} in epoch {epoch}: lower the learning rate")
        processes.broadcast_(measured.buffers())
        figures = accuracies(measured.eval(), *held, judge, seed, epoch)
        overfitted = parts.robust and collapsed(figures["robust"], now.rows, n_classes=int(labels.max()) + 1)
        row = {"epoch": epoch, "loss": loss, **figures, "overfitted": overfitted}
        now.rows.append({**row, "images_per_second": speed, "processes": processes.world_size()})
        if kept(now.rows, "best") == epoch - 1:
            now.best = copy.deepcopy(measured.state_dict())
        if epoch == settings.epochs:
            last = kept(now.rows, settings.keep) == epoch - 1
            model.eval().load_state_dict(measured.state_dict() if last else now.best)
        now = Progress(now.rows, now.best)
        if slot:
            slot.save(*resume.take(state, **vars(now)))
        yield now.rows[-1]


def objective(model: nn.Module, x: Tensor, y: Tensor, parts: Parts, generator: torch.Generator) -> Tensor:
    """What a step descends: cross-entropy on what transform and adversary make of the batch, and regulariser."""
    x = x if parts.transform is None else parts.transform(x, y, generator)
    x = x.contiguous(memory_format=torch.channels_last)
    x = x if parts.adversary is None else parts.adversary(model, x, y, generator)
    logits = model(x.requires_grad_(parts.regulariser is not None))
    loss = F.cross_entropy(logits, y)
    return loss if parts.regulariser is None else loss + parts.regulariser(model, x, y, logits, generator)


def accuracies(model: nn.Module, images: Tensor, labels: Tensor, judge: Adversary, *keys: int) -> dict[str, float]:
    """Clean and robust accuracy, the latter on what the judge makes of the images, a bounded number at a time.

    The processes share them out; the judge's random numbers for part i are those of (*keys, i), whoever does it.
    """
    parts = list(zip(images.split(JUDGED), labels.split(JUDGED), strict=True))
    right = torch.zeros(2, dtype=torch.float64, device=images.device)
    for number in processes.my_items(range(len(parts))):
        x, y = parts[number]
        attacked = judge(model, x, y, machine.generator(*keys, number))
        right += torch.stack([_hits(model, x, y), _hits(model, attacked, y)])
    processes.all_reduce_([right])
    clean, robust = (right / len(labels)).tolist()
    return {"clean": clean, "robust": robust}


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


def accuracy(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Share of images whose largest logit is at the label."""
    parts = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    return sum(int(_hits(model, x, y)) for x, y in parts) / len(labels)


@torch.no_grad()
def _hits(model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    return (model(images).argmax(1) == labels).sum()


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
