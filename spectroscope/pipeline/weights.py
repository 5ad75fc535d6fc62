"""Weights of networks as safetensors files: the same values give the same bytes, and reading runs no code."""

from collections import Counter
from collections.abc import Set
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spectroscope.pipeline.files import reading, replacing

SHOWN = 5  # faults of a kind that a message names


def write_weights(path: Path, model: nn.Module) -> None:
    """Parameters and buffers of `model`; those that share memory, as tied weights do, are each written in full."""
    shared = Counter(value.untyped_storage().data_ptr() for value in model.state_dict().values())
    weights = {}
    for name, value in model.state_dict().items():
        own = value.detach().cpu().contiguous()
        weights[name] = own.clone() if shared[value.untyped_storage().data_ptr()] > 1 else own
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary)
        except SafetensorError as error:  # raised for a full disk, too
            raise OSError(str(error)) from None


def read_weights(path: Path, model: nn.Module) -> nn.Module:
    """`model` with the weights of `path`; ValueError naming the file and the tensors that do not fit."""
    return load_tensors(model, read_tensors(path), path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file by its name; ValueError naming the file when it is missing or damaged."""
    with reading(path, "weights as safetensors"):
        return load_file(path)


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """`model` with these weights; ValueError naming their file `path` when names, shapes or kinds are not the model's.

    Floats of any precision become those of the model; integers, booleans and complex numbers do not become floats.
    """
    expected = model.state_dict()
    shared = sorted(expected.keys() & tensors.keys())
    faults = _listed("missing", expected.keys() - tensors.keys()) + _listed("unknown", tensors.keys() - expected.keys())
    others = [
        f"{name}: expected {tuple(expected[name].shape)}, got {tuple(tensors[name].shape)}"
        for name in shared
        if expected[name].shape != tensors[name].shape
    ]
    others += [
        f"{name}: expected floats, got {str(tensors[name].dtype).removeprefix('torch.')}"
        for name in shared
        if expected[name].is_floating_point() and not tensors[name].is_floating_point()
    ]
    faults += others[:SHOWN]
    if faults:
        raise ValueError(f"{path}: the weights do not fit the model: {'; '.join(faults)}")
    model.load_state_dict(tensors)
    return model


def _listed(kind: str, names: Set[str]) -> list[str]:
    """Names that are missing or unknown as one fault: the first few, and how many there are."""
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{kind} {', '.join(sorted(names)[:SHOWN])}{more}"]
