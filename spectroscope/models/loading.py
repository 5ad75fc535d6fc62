"""Read weights that other programs saved without running their code, and map their names to those of a Network."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import field_validator
from torch import Tensor

from spectroscope.models.architectures import Network
from spectroscope.pipeline import io
from spectroscope.pipeline.params import Settings


class Rename(Settings):
    """Rule for names of tensors: what matches `pattern`, a regular expression, becomes `to`; null drops the tensor."""

    pattern: str
    to: str | None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"expected a regular expression, got {pattern!r} ({error})") from None
        return pattern


def _rules(*pairs: tuple[str, str | None]) -> list[Rename]:
    return [Rename(pattern=pattern, to=to) for pattern, to in pairs]


# own: saved by this package. plain: the bare architecture. madry: saved by MadryLab's library robustness, with a second
# copy of the network inside its attacker. `module.` is what torch's DataParallel puts before every name.
RENAMES: dict[str, list[Rename]] = {
    "own": [],
    "plain": _rules((r"^(module\.)?", "1.")),
    "madry": _rules(
        (r"^(module\.)?attacker\.", None),
        (r"^(module\.)?normalizer\.new_", "0."),
        (r"^(module\.)?model\.", "1."),
        (r"\.shortcut\.", ".downsample."),
        (r"^1\.linear\.", "1.fc."),
    ),
}
NORMALISATION = ("0.mean", "0.std")


def load_weights(model: Network, path: Path, entry: str | None, rules: Sequence[Rename]) -> None:
    """Fill a network with the weights of a .safetensors, .pt or .pth file.

    entry: key of the weights in a .pt, None where they are its whole content. rules: applied in turn to each name.
    Normalisation and BatchNorm's counters keep the network's values where the file has none.
    ValueError naming the file: missing, damaged, not only tensors, two tensors of one name, names or shapes that are
    not the network's.
    """
    weights: dict[str, Tensor] = {}
    for name, value in _read(path, entry).items():
        new = _renamed(name, rules)
        if new in weights:
            raise ValueError(f"{path}: expected names that differ after renaming (`keys`), got {new} twice")
        if new is not None:
            weights[new] = value.flatten()[:, None, None] if new in NORMALISATION else value
    for name, value in model.state_dict().items():
        if name in NORMALISATION or name.endswith(".num_batches_tracked"):
            weights.setdefault(name, value)
    io.load_tensors(model, weights, path)


def set_normalisation(model: Network, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Set the network's normalisation, one value for each channel; None keeps what it has. ValueError for others."""
    for name, values in (("mean", mean), ("std", std)):
        buffer: Tensor = getattr(model.normalise, name)  # (C, 1, 1)
        if values is not None:
            if len(values) != len(buffer):
                raise ValueError(f"{name}: expected {len(buffer)} numbers, one for each channel, got {values}")
            buffer.copy_(torch.tensor(values)[:, None, None])


def _renamed(name: str, rules: Sequence[Rename]) -> str | None:
    for rule in rules:
        if rule.to is None:
            if re.search(rule.pattern, name):
                return None
        else:
            name = re.sub(rule.pattern, rule.to, name)
    return name


def _read(path: Path, entry: str | None) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return io.read_tensors(path)
    if path.suffix not in (".pt", ".pth"):
        raise ValueError(f"{path}: expected a name ending in .safetensors, .pt or .pth, got {path.suffix!r}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected weights, found no file") from None
    except Exception as error:  # a damaged pickle may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: expected tensors that load without running code, got: {reason}") from None
    if entry is not None:
        if not isinstance(content, dict) or entry not in content:
            raise ValueError(f"{path}: expected the entry {entry!r}, got {_content(content)}")
        content = content[entry]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: expected tensors by name (`entry` says where), got {_content(content)}")
    return content


def _content(content: Any) -> str:
    return f"entries {', '.join(map(str, list(content)[:8]))}" if isinstance(content, dict) else type(content).__name__
