"""Trials before the work: whether a network is sound, and takes every size of batch that its training will give it."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.models.held_out import split
from spectroscope.models.preflight import preflight, reason
from spectroscope.pipeline import io, machine, processes
from spectroscope.training.settings import TrainingSettings

PREFLIGHT_IMAGES = 8


def require_sound(model: nn.Module, images: io.Images) -> None:
    """ValueError with a line for each fault that the preflight finds with the first images."""
    shown = images.pixels[:PREFLIGHT_IMAGES].to(machine.device())
    if faults := preflight(model, shown, len(images.classes)):
        raise ValueError("the network cannot be used:\n" + "\n".join(faults))


def require_trainable(model: nn.Module, train: io.Images, settings: TrainingSettings) -> None:
    """ValueError for a network without weights, or that fails in training mode on the largest or the last batch.

    A copy takes one step without an optimiser; neither the network nor torch's global generator changes.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("expected a network with weights that can be trained, got one without")
    inner, _ = split(train, settings.held_out)
    for size in batch_sizes(len(inner), settings):
        rows = inner[:size]
        device = next(model.parameters()).device
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                trial = copy.deepcopy(model).train()
                F.cross_entropy(trial(train.pixels[rows].to(device)), train.labels[rows].to(device)).backward()
        except Exception as error:  # whatever a layer of the user's own raises
            raise ValueError(
                f"training.batch_size: expected a network that trains on batches of {size} of {len(inner)} images, "
                f"got {reason(error)}"
            ) from error


def batch_sizes(n: int, settings: TrainingSettings) -> list[int]:
    """Images of the largest and of the smallest batch that BatchNorm sees in an epoch of n images."""
    sizes = {min(n, settings.batch_size), n % settings.batch_size or min(n, settings.batch_size)}
    if settings.batch_norm == "per_process" and processes.world_size() > 1:
        sizes |= {max(1, size // processes.world_size()) for size in sizes}
    return sorted(sizes, reverse=True)
