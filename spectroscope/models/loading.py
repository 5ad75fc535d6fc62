"""Read weights that other programs saved without running their code, and map their names to those of a Network."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from spectroscope.models.architectures import Network
from spectroscope.pipeline import io
from spectroscope.pipeline.params import Distinct, Settings


class Rename(Settings):
    """Rule for names of tensors: what matches `pattern`, a regular expression, becomes `to`; null drops the tensor."""

    pattern: str
    to: str | None

    @model_validator(mode="after")
    def _replaces(self) -> "Rename":
        try:
            re.sub(self.pattern, self.to or "", "")
        except (re.error, IndexError) as error:
            raise ValueError(f"expected a replacement for {self.pattern!r}, got {self.to!r} ({error})") from None
        return self

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"expected a regular expression, got {pattern!r} ({error})") from None
        return pattern


class WeightsFiles(Settings):
    """Files with weights of a network, how to read them, and how accurate the network has to be.

    `weights`: the files; null if the network comes with its weights.
    `entry`: key of the weights in a .pt file, null if they are at its top. `keys`: naming scheme of the tensors, or
    rules, applied in turn. `mean`, `std`: normalisation by channel; null if the file holds it or the network takes
    pixels in [0, 1]. `least_accuracy`: a lower held-out accuracy is an error.
    """

    weights: Annotated[list[str], Field(min_length=1), Distinct] | None
    entry: str | None
    keys: Literal["own", "plain", "madry"] | list[Rename]
    mean: list[float] | None
    std: list[Annotated[float, Field(gt=0)]] | None
    least_accuracy: Annotated[float, Field(gt=0, lt=1)]


def _rules(*pairs: tuple[str, str | None]) -> list[Rename]:
    return [Rename(pattern=pattern, to=to) for pattern, to in pairs]


# own: saved by this package. plain: the bare architecture, whose WRAPPERS come off first. madry: saved by the library
# robustness of MadryLab, with a second copy of the network inside its attacker.
RENAMES: dict[str, list[Rename]] = {
    "own": [],
    "plain": _rules(("^", "1.")),
    "madry": _rules(
        (r"^(module\.)?attacker\.", None),
        (r"^(module\.)?normalizer\.new_", "0."),
        (r"^(module\.)?model\.", "1."),
        (r"\.shortcut\.", ".downsample."),
        (r"^1\.linear\.", "1.fc."),
    ),
}
NORMALISATION = ("0.mean", "0.std")
# what torch's DataParallel, Lightning and others, and torch.compile put before the name of every tensor
WRAPPERS = ("module.", "model.", "_orig_mod.")
ENDINGS = (".pt", ".pth", ".th", ".bin", ".ckpt", ".model", ".pth.tar")  # of files that torch.save wrote


def load_weights(model: Network, path: Path, entry: str | None, keys: str | Sequence[Rename]) -> None:
    """Fill a network with the weights of a file: .safetensors, or one that torch.save wrote (`ENDINGS`).

    entry: where the weights lie in a file of torch.save, `a.b` for b within a; None where they are its whole content. A
    list that holds nothing but the weights counts as the weights. keys: a naming scheme of `RENAMES`, or rules applied
    in turn to each name.
    Normalisation and BatchNorm's counters keep the network's values where the file has none.
    ValueError naming the file: missing, damaged, not only tensors, two tensors of one name, names, shapes or kinds of
    number that are not the network's.
    """
    weights: dict[str, Tensor] = {}
    tensors = tensors_of(path, entry)
    if keys == "plain":
        bare = {name.removeprefix("1.") for name in model.state_dict() if name.startswith("1.")}
        tensors = _unwrapped(tensors, bare)
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise ValueError(
                f"{path}: expected dense tensors with values, got a sparse, quantised or meta one in {name}"
            )
        new = _renamed(name, RENAMES[keys] if isinstance(keys, str) else keys)
        if new in weights:
            raise ValueError(f"{path}: expected names that differ after renaming (`keys`), got {new} twice")
        if new is not None:
            weights[new] = value.flatten()[:, None, None] if new in NORMALISATION else value
    for name, value in model.state_dict().items():
        if name in NORMALISATION or name.endswith(".num_batches_tracked"):
            weights.setdefault(name, value)
    io.load_tensors(model, weights, path)


def restore(model: Network, files: WeightsFiles, file: str | None) -> None:
    """Fill a network with one of the `files`, or with none, and set its normalisation. ValueError as for the two."""
    if file is not None:
        load_weights(model, Path(file), files.entry, files.keys)
    set_normalisation(model, files.mean, files.std)


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


def _unwrapped(tensors: dict[str, Tensor], own: set[str]) -> dict[str, Tensor]:
    """Tensors without the WRAPPERS that begin all names, taken off until one of the network's `own` names appears."""
    while tensors and not own & tensors.keys():
        wrapper = next((wrapper for wrapper in WRAPPERS if all(name.startswith(wrapper) for name in tensors)), None)
        if wrapper is None:
            break
        tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    return tensors


def tensors_of(path: Path, entry: str | None) -> dict[str, Tensor]:
    """The tensors of a file by the names they have in it; path, entry and errors as of `load_weights`."""
    if path.suffix == ".safetensors":
        return io.read_tensors(path)
    if not path.name.endswith(ENDINGS):
        known = f"{', '.join(('.safetensors', *ENDINGS[:-1]))} or {ENDINGS[-1]}"
        raise ValueError(f"{path}: expected a name ending in {known}, got {path.name!r}")
    _require_checksums(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected weights, found no file") from None
    except Exception as error:  # a damaged pickle may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: expected tensors that load without running code, got: {reason}") from None
    if entry is not None:
        content = _entry(content, entry, path)
    content = _only(content)
    named = isinstance(content, dict) and all(isinstance(name, str) for name in content)
    if not named or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: expected tensors by name (`entry` says where), got {_content(content)}")
    return content


def _require_checksums(path: Path) -> None:
    """ValueError for an archive with a part that does not fit its checksum, which torch.load does not compare."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except Exception:  # a file without checksums, or one that torch.load names
        return
    if part is not None:
        raise ValueError(f"{path}: expected weights, got a damaged file: {part} does not fit its checksum")


def _entry(content: Any, entry: str, path: Path, above: str = "") -> Any:
    """The entry of a checkpoint: a key or, joined by dots, the keys `above` it and its own."""
    content = _only(content)
    if isinstance(content, dict):
        if entry in content:
            return content[entry]
        for end in (place for place, letter in enumerate(entry) if letter == "."):
            if entry[:end] in content:
                return _entry(content[entry[:end]], entry[end + 1 :], path, f"{above}{entry[:end]}.")
    where = f" in {above[:-1]!r}" if above else ""
    raise ValueError(f"{path}: expected the entry {entry!r}{where}, got {_content(content)}")


def _only(content: Any) -> Any:
    """What a list of one holds, as some authors save their weights; anything else as it is."""
    return content[0] if isinstance(content, list) and len(content) == 1 else content


def _content(content: Any) -> str:
    if isinstance(content, dict):
        return f"entries {', '.join(map(str, list(content)[:8]))}"
    return f"a list of {len(content)}" if isinstance(content, list) else type(content).__name__
