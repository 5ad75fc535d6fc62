"""The training loop of every regime; what a regime does in a step is given as hooks.

The data set is one tensor on the device; augmentation works on whole batches. A held-out part of the training images,
whole clusters and the same for every seed and regime, is evaluated after each epoch. Test images are never seen here.
"""

import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from spectroscope.models.held_out import split
from spectroscope.pipeline import io, machine, memory, processes
from spectroscope.pipeline.checkpoint import CheckpointFile
from spectroscope.training import distribution, held_out
from spectroscope.training.augmentation import augment
from spectroscope.training.average import moving_average
from spectroscope.training.hooks import Adversary, TrainingHooks
from spectroscope.training.optimiser import lr_multiplier, sgd
from spectroscope.training.resume import Progress, State
from spectroscope.training.settings import TrainingSettings


def fit(
    model: nn.Module,
    train: io.Images,
    settings: TrainingSettings,
    hooks: TrainingHooks,
    validation_attack: Adversary,
    generator: Generator,
    slot: CheckpointFile | None = None,
) -> Iterator[dict[str, Any]]:
    """Train `model` in place on its own device; yield the epoch's row of epochs.csv after each epoch.

    The row: epoch, loss (mean over the training images), clean, robust and own_robust (held-out accuracy: without an
    attack, under `validation_attack`, and under that of the hooks, None where they have none), overfitted (own_robust
    has collapsed), images_per_second, processes. The hooks of a training step see the model in training mode. Attacks
    on held-out images see it in evaluation mode and have generators of their own, so that they never change the
    training. The model ends in evaluation mode, with the weights of the epoch that `select_epoch` chooses.

    With a `slot`, the state is saved there after each epoch and every few minutes, and training continues from a state
    found there: it ends with the same weights, bit for bit, as one that was never interrupted.
    ValueError if the loss is not finite, if a batch has fewer images than there are processes, and if their weights
    part.
    """
    if settings.batch_size < processes.world_size():
        raise ValueError(
            f"expected batch_size >= {processes.world_size()}, one image a process, got {settings.batch_size}"
        )
    device = next(model.parameters()).device
    inner, out = split(train, settings.held_out)
    images, labels = train.pixels[inner].to(device), train.labels[inner].to(device)
    validation = train.pixels[out].to(device), train.labels[out].to(device)
    state = initial_state(model, settings, math.ceil(len(images) / settings.batch_size), generator)
    if slot:
        state.load(slot)
        model.eval()
    processes.barrier()  # else the first process could overwrite a checkpoint that another is about to read

    rows = state.progress.rows
    yield from rows
    for epoch in range(len(rows) + 1, settings.epochs + 1):
        with memory.at_once("training.batch_size", settings.batch_size):
            loss, speed = train_epoch(state, images, labels, settings, hooks, slot)
        if not math.isfinite(loss):
            raise ValueError(f"expected a finite training loss, got {loss} in epoch {epoch}: lower the learning rate")
        distribution.require_equal_replicas(model)
        network = state.evaluated.eval()
        processes.broadcast_(network.buffers())  # BatchNorm per process: the statistics of the first are kept
        attacks, keys = (validation_attack, hooks.own_attack), (generator.initial_seed(), epoch)
        row = held_out.accuracies(network, *validation, *attacks, *keys)
        overfitted = held_out.collapsed(row["own_robust"], rows, validation[1])
        row = {"epoch": epoch, "loss": loss, **row, "overfitted": overfitted}
        rows.append({**row, "images_per_second": speed, "processes": processes.world_size()})
        if held_out.select_epoch(rows, settings.keep) == epoch - 1:
            state.progress.kept = copy.deepcopy(network.state_dict())
        if epoch == settings.epochs:
            model.eval().load_state_dict(state.progress.kept)
        state.progress = Progress(rows, state.progress.kept)
        if slot:
            state.save(slot)
        yield rows[-1]


def initial_state(model: nn.Module, settings: TrainingSettings, steps_per_epoch: int, generator: Generator) -> State:
    """The state before the first batch; the model is prepared in place."""
    order = getattr(model, "memory_format", torch.channels_last)
    model.to(memory_format=order)  # type: ignore[call-overload]  # torch's stub lacks this form
    if settings.batch_norm == "synchronised" and processes.world_size() > 1:
        distribution.synchronise_batch_norm(model)
    average = moving_average(model, settings.average) if settings.average else None
    optimiser = sgd(model, settings)
    multiplier = lr_multiplier(settings, steps_per_epoch * settings.epochs)
    return State(model, average, optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, multiplier), generator)


def train_epoch(
    state: State,
    images: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
    hooks: TrainingHooks,
    slot: CheckpointFile | None,
) -> tuple[float, float]:
    """Train on every image once, or on the rest of an interrupted epoch: (mean loss, images per second)."""
    model, progress, generator = state.model.train(), state.progress, state.generator
    started = time.perf_counter() - progress.seconds
    loss_sum = torch.tensor(progress.loss_sum, dtype=torch.float64, device=images.device)
    if progress.order is None:
        progress.order = torch.randperm(len(images), generator=generator)
    for batch in progress.order.split(settings.batch_size)[progress.n_batches :]:
        batch = batch.to(images.device)
        x, y = augment(images[batch], settings.augmentation, generator), labels[batch]
        own_generator = machine.generator(int(torch.randint(2**31, (), generator=generator)), processes.rank())
        share, weight = processes.shard(len(batch))
        loss = weight * training_loss(model, x[share], y[share], hooks, own_generator)
        state.optimiser.zero_grad()
        loss.backward()
        loss = loss.detach()
        distribution.all_reduce_gradients(loss, model)
        state.optimiser.step()
        state.schedule.step()
        if state.average is not None:
            state.average.update_parameters(model)
        loss_sum += loss.double() * len(batch)
        progress.n_batches += 1
        if slot and slot.due():
            progress.loss_sum, progress.seconds = float(loss_sum), time.perf_counter() - started
            state.save(slot)
    return float(loss_sum) / len(images), len(images) / (time.perf_counter() - started)


def training_loss(model: nn.Module, x: Tensor, y: Tensor, hooks: TrainingHooks, generator: Generator) -> Tensor:
    """Mean cross-entropy on the transformed and attacked images, plus the regulariser: a scalar."""
    if hooks.transform:
        x = hooks.transform(x, y, generator)
    x = x.contiguous(memory_format=torch.channels_last)
    if hooks.adversary:
        x = hooks.adversary(model, x, y, generator)
    logits = model(x.requires_grad_(hooks.regulariser is not None))
    loss = F.cross_entropy(logits, y)
    return loss + hooks.regulariser(model, x, y, logits, generator) if hooks.regulariser else loss
