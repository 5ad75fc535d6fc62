"""Weights of networks as safetensors files: the same values give the same bytes, and reading runs no code."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spectroscope.pipeline.files import reading, replacing


def write_weights(path: Path, model: nn.Module) -> None:
    """Parameters and buffers of `model`."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
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
    """`model` with these weights; ValueError naming their file `path` when a name or a shape is not the model's."""
    expected = model.state_dict()
    faults = [f"missing {name}" for name in expected.keys() - tensors.keys()]
    faults += [f"unknown {name}" for name in tensors.keys() - expected.keys()]
    faults += [
        f"{name}: expected {tuple(expected[name].shape)}, got {tuple(tensors[name].shape)}"
        for name in expected.keys() & tensors.keys()
        if expected[name].shape != tensors[name].shape
    ]
    if faults:
        raise ValueError(f"{path}: the weights do not fit the model: {'; '.join(sorted(faults)[:5])}")
    model.load_state_dict(tensors)
    return model
