"""Weights made elsewhere: read without running code, renamed, and held against the network and the held-out images."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectroscope.models import architectures, inference
from spectroscope.pipeline import io, machine
from spectroscope.training import loop
from spectroscope.training.adversary import Adversary
from spectroscope.training.regimes import Pretrained, Rename


def _rules(*pairs: tuple[str, str | None]) -> list[Rename]:
    return [Rename(pattern=pattern, to=to) for pattern, to in pairs]


# Names here: `0.mean` and `0.std` of the normalisation, `1.` before those of the network itself.
KEYS: dict[str, list[Rename]] = {
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


def restore(regime: Pretrained, name: str, shape: tuple[int, ...], n_classes: int) -> Iterator[nn.Module]:
    """A network for each weights file, in evaluation mode; without files the one your own function returns."""
    if regime.weights is None and name in architectures.MODELS:
        raise ValueError(f"regime.weights: expected a file, since {name} has no weights of its own, got null")
    for file in regime.weights or [None]:
        model = inference.build(name, shape, n_classes)
        if file is not None:
            io.load_tensors(model, tensors(Path(file), regime, model), Path(file))
        for buffer, values in (("mean", regime.mean), ("std", regime.std)):
            if values is not None:
                if len(values) != shape[0]:
                    raise ValueError(f"regime.{buffer}: expected {shape[0]} numbers, one a channel, got {values}")
                getattr(model[0], buffer).copy_(torch.tensor(values)[:, None, None])
        yield model.eval()


def tensors(path: Path, regime: Pretrained, model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file under the names of `model`."""
    rules = KEYS[regime.keys] if isinstance(regime.keys, str) else regime.keys
    found: dict[str, Tensor] = {}
    for name, value in _read(path, regime.entry).items():
        new = _renamed(name, rules)
        if new in found:
            raise ValueError(f"{path}: expected names that differ after regime.keys, got {new} twice")
        if new is not None:
            found[new] = value.flatten()[:, None, None] if new in ("0.mean", "0.std") else value
    for name, value in model.state_dict().items():  # what a network may lack without being another one
        if name in ("0.mean", "0.std") or name.endswith(".num_batches_tracked"):
            found.setdefault(name, value)
    return found


def adopt(
    regime: Pretrained, name: str, train: io.Images, settings: loop.TrainingSettings, judge: Adversary
) -> tuple[list[nn.Module], list[dict[str, Any]]]:
    """Every network of a regime, each with the row of figures that training would write after an epoch.

    ValueError when one does not fit, or is right less often on held-out images than was expected of it.
    """
    rows = []
    found = list(restore(regime, name, tuple(train.pixels.shape[1:]), len(train.classes)))
    for seed, model in enumerate(found):
        row = examine(model.to(machine.device()), train, settings, judge, machine.generator(seed))
        if row["clean"] < regime.least_accuracy:
            wanted, got = f"{regime.least_accuracy:g}", f"{row['clean']:.3g}"
            why = "normalisation (mean, std), order of the classes or names (keys) may be wrong"
            raise ValueError(f"expected a held-out accuracy of at least {wanted}, got {got}: {why}")
        rows.append({"seed": seed, **row, "kept": True})
    return found, rows


def examine(
    model: nn.Module,
    train: io.Images,
    settings: loop.TrainingSettings,
    judge: Adversary,
    generator: torch.Generator,
) -> dict[str, Any]:
    """Loss, clean and robust accuracy on the held-out images, as of an epoch 0; ValueError for unusable logits."""
    _, out = loop.split(train.labels, settings.held_out)
    x, y = train.pixels[out].to(machine.device()), train.labels[out].to(machine.device())
    with torch.no_grad():
        logits = torch.cat([model(part) for part in x.split(loop.JUDGED)])
    wanted = (len(y), len(train.classes))
    if tuple(logits.shape) != wanted or not logits.isfinite().all():
        raise ValueError(f"expected finite logits of shape {wanted}, got shape {tuple(logits.shape)}")
    figures = loop.accuracies(model, x, y, judge, generator.initial_seed())
    loss = F.cross_entropy(logits, y).item()
    return {"epoch": 0, "loss": loss, **figures, "overfitted": False, "images_per_second": None, "processes": None}


def _renamed(name: str, rules: list[Rename]) -> str | None:
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
            raise ValueError(f"{path}: expected the entry {entry!r}, got {_entries(content)}")
        content = content[entry]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path}: expected tensors by name (regime.entry says where), got {_entries(content)}")
    return content


def _entries(content: Any) -> str:
    return f"entries {', '.join(map(str, list(content)[:8]))}" if isinstance(content, dict) else type(content).__name__
