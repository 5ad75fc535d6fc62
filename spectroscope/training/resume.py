"""The state of a training between two batches: captured as tensors and JSON, and restored bit for bit."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from spectroscope.pipeline.checkpoint import Checkpoint, CheckpointFile


@dataclass
class Progress:
    """Rows of the finished epochs, weights of the one to keep so far, and how far the current epoch is."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    order: Tensor | None = None  # of the images in the current epoch; None before its first batch
    n_batches: int = 0
    loss_sum: float = 0.0  # over images
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        return vars(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


@dataclass
class State:
    """All that training changes; torch's global generator, which dropout draws from, is saved with it."""

    model: nn.Module
    average: AveragedModel | None
    optimiser: torch.optim.Optimizer
    schedule: LRScheduler
    generator: Generator
    progress: Progress = field(default_factory=Progress)

    @property
    def evaluated(self) -> nn.Module:
        """The network to evaluate and keep: the average if there is one."""
        return self.model if self.average is None else self.average.module

    def save(self, slot: CheckpointFile) -> None:
        """Write the state; ValueError if a number in it is not finite, OSError if the file cannot be written."""
        slot.save(*capture(vars(self)))

    def load(self, slot: CheckpointFile) -> None:
        """Restore the saved state if there is one."""
        if saved := slot.load():
            restore(saved, vars(self))


def capture(members: dict[str, Any]) -> Checkpoint:
    """The state of each member: a generator, anything with a `state_dict`, or None.

    ValueError if a number is not finite: the checkpoint before is worth more. Infinity in a buffer of a network is let
    be: masks hold it, and statistics that overflow give a loss that is NaN.
    """
    states: dict[str, Any] = {"global": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["global_cuda"] = torch.cuda.get_rng_state()
    for name, member in members.items():
        if member is not None:
            states[name] = member.get_state() if isinstance(member, Generator) else member.state_dict()
    tensors: dict[str, Tensor] = {}
    facts = {name: _extract(state, name, tensors) for name, state in states.items()}
    modules = {name: member for name, member in members.items() if isinstance(member, nn.Module)}
    buffers = {f"{name}.{key}" for name, member in modules.items() for key, _ in member.named_buffers()}
    for key, value in tensors.items():
        bad = value.isnan() if key in buffers or key.startswith("progress.kept.") else ~value.isfinite()
        if value.is_floating_point() and bad.any():
            raise ValueError(f"expected finite numbers, got NaN or infinity in {key}: lower the learning rate")
    return tensors, facts


def restore(saved: Checkpoint, members: dict[str, Any]) -> None:
    """Give each member its captured state, in place."""
    tensors, facts = saved
    states = {name: _insert(fact, tensors) for name, fact in facts.items()}
    torch.set_rng_state(states["global"])
    if "global_cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["global_cuda"])
    for name, member in members.items():
        if isinstance(member, Generator):
            member.set_state(states[name])
        elif member is not None:
            member.load_state_dict(states[name])
        if isinstance(member, torch.optim.Optimizer):
            _restore_strides(member)


def _restore_strides(optimiser: torch.optim.Optimizer) -> None:
    """Give the optimiser's buffers the strides of their weights: in another memory order, sums round differently."""
    for weight, buffers in optimiser.state.items():
        for key, value in buffers.items():
            if torch.is_tensor(value) and value.shape == weight.shape:
                buffers[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _extract(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """`value` with its tensors moved to `tensors`; dicts become lists of pairs, since JSON keys can only be strings."""
    if torch.is_tensor(value):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, dict):
        return {"pairs": [[name, _extract(item, f"{key}.{name}", tensors)] for name, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_extract(item, f"{key}.{number}", tensors) for number, item in enumerate(value)]
    return value


def _insert(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_extract`."""
    if isinstance(value, list):
        return [_insert(item, tensors) for item in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {name: _insert(item, tensors) for name, item in value["pairs"]}
    return value
