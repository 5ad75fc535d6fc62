"""Weights of networks as safetensors files: the same values give the same bytes, and reading runs no code.

Files that this project writes hold a digest of their tensors, which is compared when they are read: the format itself
has no checksum, and a flipped bit would be another network.
"""

import hashlib
from collections import Counter
from collections.abc import Set
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from spectroscope.pipeline.files import MENDING, reading, replacing

DIGEST = "digest"  # key of the file's metadata
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
            save_file(weights, temporary, {DIGEST: digest_of(weights)})
        except SafetensorError as error:  # raised for a full disk, too
            raise OSError(str(error)) from None


def read_weights(path: Path, model: nn.Module) -> nn.Module:
    """`model` with the weights of `path`; ValueError naming the file and the tensors that do not fit."""
    return load_tensors(model, read_tensors(path, MENDING), path)


def read_tensors(path: Path, advice: str = "") -> dict[str, Tensor]:
    """Every tensor of a safetensors file by its name.

    ValueError naming the file when it is missing or damaged, or has a digest of other tensors; it ends with `advice`.
    """
    with reading(path, "weights as safetensors", advice):
        with safe_open(path, "pt") as content:
            metadata = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 (no mapping)
        require_digest(tensors, metadata.get(DIGEST))
        return tensors


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values of contiguous tensors on the CPU."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def require_digest(tensors: dict[str, Tensor], digest: str | None) -> None:
    """ValueError when these tensors have another digest; None, as in files of other programs, fits all."""
    if digest is not None and digest_of(tensors) != digest:
        raise ValueError("its tensors are not those that were written")


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    """`model` with these weights; ValueError naming their file `path` when names, shapes or kinds are not the model's.

    Floats of any precision become those of the model, and integers of any size; floats, integers, booleans and complex
    numbers do not become one another.
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
        f"{name}: expected {kind(expected[name])}, got {str(tensors[name].dtype).removeprefix('torch.')}"
        for name in shared
        if kind(expected[name]) != kind(tensors[name])
    ]
    faults += others[:SHOWN]
    if faults:
        raise ValueError(f"{path}: the weights do not fit the model: {'; '.join(faults)}")
    model.load_state_dict(tensors)
    return model


def kind(value: Tensor) -> str:
    """Floats, integers, booleans or complex numbers."""
    if value.is_floating_point() or value.is_complex():
        return "floats" if value.is_floating_point() else "complex numbers"
    return "booleans" if value.dtype == torch.bool else "integers"


def _listed(kind: str, names: Set[str]) -> list[str]:
    """Names that are missing or unknown as one fault: the first few, and how many there are."""
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{kind} {', '.join(sorted(names)[:SHOWN])}{more}"]
