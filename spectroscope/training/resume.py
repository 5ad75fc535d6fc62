"""All that a training consists of between two batches, as tensors and facts that a checkpoint holds.

A part is anything with a state: a module, an optimiser, a schedule (`state_dict`, `load_state_dict`) or a generator.
torch's global generator, which dropout draws from, is always taken too.
"""

from typing import Any

import torch
from torch import Tensor

Saved = tuple[dict[str, Tensor], dict[str, Any]]


def take(parts: dict[str, Any], **facts: Any) -> Saved:
    """The state of every part, and `facts`: tensors, or anything JSON holds.

    ValueError where a number is no longer finite: such a state is worth less than the one kept before.
    """
    tensors: dict[str, Tensor] = {"global": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["global_cuda"] = torch.cuda.get_rng_state()
    states = {name: _state(part) for name, part in parts.items()}
    plain = {"parts": _apart(states, "parts", tensors), "facts": _apart(facts, "facts", tensors)}
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"expected finite numbers, got NaN or infinity in {key}: lower the learning rate")
    return tensors, plain


def put_back(saved: Saved, parts: dict[str, Any]) -> dict[str, Any]:
    """Give every part the state that was taken; returns the facts."""
    tensors, plain = saved
    torch.set_rng_state(tensors["global"])
    if "global_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["global_cuda"])
    states = _together(plain["parts"], tensors)
    for name, part in parts.items():
        if isinstance(part, torch.Generator):
            part.set_state(states[name])
        else:
            part.load_state_dict(states[name])
        if isinstance(part, torch.optim.Optimizer):
            _lay_out(part)
    return _together(plain["facts"], tensors)


def _state(part: Any) -> Any:
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _lay_out(optimiser: torch.optim.Optimizer) -> None:
    """Give what the optimiser keeps of each weight the weight's own strides: another order of sums is other bits."""
    for weight, kept in optimiser.state.items():
        for key, value in kept.items():
            if torch.is_tensor(value) and value.shape == weight.shape:
                kept[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _apart(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """`value` with its tensors moved to `tensors`; mappings as lists of pairs, since JSON's keys are only texts."""
    if torch.is_tensor(value):
        tensors[key] = value
        return {"tensor": key}
    if isinstance(value, dict):
        return {"pairs": [[name, _apart(below, f"{key}.{name}", tensors)] for name, below in value.items()]}
    if isinstance(value, list | tuple):
        return [_apart(below, f"{key}.{number}", tensors) for number, below in enumerate(value)]
    return value


def _together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_together(below, tensors) for below in value]
    if isinstance(value, dict):
        if "tensor" in value:
            return tensors[value["tensor"]]
        return {name: _together(below, tensors) for name, below in value["pairs"]}
    return value
