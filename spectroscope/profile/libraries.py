"""Networks of timm, torchvision and transformers, with size, normalisation and class names of their configuration."""

import json
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spectroscope.pipeline import io
from spectroscope.profile.network import Network, Options, first_line, package
from spectroscope.profile.weights import read_tensors


def of_timm(rest: str, options: Options) -> Network:
    """`NAME[@file]` of timm; `@pretrained` downloads the published weights."""
    spec, (name, _, weights) = f"timm:{rest}", rest.partition("@")
    timm = package("timm", "timm", spec)
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:6]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"{spec}: expected a network of timm, got {name!r}; similar: {near}")
    tensors = None if weights in ("", "pretrained") else read_tensors(Path(weights), options.entry)
    n_classes = {} if tensors is None else {"num_classes": _timm_classes(timm, name, tensors)}
    model = timm.create_model(name, pretrained=weights == "pretrained", **n_classes)
    if tensors is not None:
        io.load_tensors(model, tensors, Path(weights))
    facts = timm.data.resolve_model_data_config(model)
    channels, height, width = facts["input_size"]
    classes = tuple(timm.data.ImageNetInfo().label_names()) if model.num_classes == 1000 else None
    if not weights:
        _without_zeros(model)
    return Network(
        _called(rest), "timm", lambda *_: model, channels, (height, width), facts["crop_pct"], tuple(facts["mean"]),
        tuple(facts["std"]), "timm's configuration", classes, random=not weights,
    )  # fmt: skip


def _called(rest: str) -> str:
    """`NAME@file`, without the folders of the file."""
    name, at, weights = rest.partition("@")
    return name + at + Path(weights).name


def _timm_classes(timm: Any, name: str, tensors: dict[str, Tensor]) -> int:
    """Outputs of a network of timm, from the weights of its classifier."""
    head = timm.get_pretrained_cfg(name).classifier
    head = head[0] if isinstance(head, tuple | list) else head
    found = tensors.get(f"{head}.weight", next((t for t in reversed(tensors.values()) if t.ndim == 2), None))
    return 1000 if found is None else len(found)


def of_torchvision(rest: str, options: Options) -> Network:
    """`NAME[@file]` of torchvision; `@DEFAULT` or the name of published weights downloads them."""
    spec, (name, _, weights) = f"torchvision:{rest}", rest.partition("@")
    models = package("torchvision.models", "attacks", spec)
    if name not in models.list_models(module=models):
        known = ", ".join(models.list_models(module=models)[:5])
        raise ValueError(f"{spec}: expected a network of torchvision ({known}, ...), got {name!r}")
    published: Any = models.get_model_weights(name)
    named = [member.name for member in published]
    facts = published[weights] if weights in named else published.DEFAULT
    shown, random = facts.transforms(), not weights
    if weights in named or weights == "DEFAULT":
        model = models.get_model(name, weights=facts)
    elif weights:
        tensors = read_tensors(Path(weights), options.entry)
        last = next((t for t in reversed(tensors.values()) if t.ndim == 2), None)
        model = models.get_model(name, weights=None, num_classes=1000 if last is None else len(last))
        io.load_tensors(model, tensors, Path(weights))
    else:
        model = _without_zeros(models.get_model(name, weights=None))
    side, whole = shown.crop_size[0], shown.resize_size[0]
    n_classes = next((len(w) for w in reversed([*model.parameters()]) if w.ndim == 2), 0)
    classes = tuple(facts.meta["categories"])
    return Network(
        _called(rest), "torchvision", lambda *_: model, 3, (side, side), min(1.0, side / whole), tuple(shown.mean),
        tuple(shown.std), "torchvision's configuration", classes if len(classes) == n_classes else None, random=random,
    )  # fmt: skip


def _without_zeros(model: nn.Module) -> nn.Module:
    """A network of random weights whose last layer is random too: of zeros, as those of transformers are, it would give
    every image the same outputs."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not bool(layer.weight.any()):
            nn.init.trunc_normal_(layer.weight, std=0.02)
    return model


def of_transformers(rest: str, options: Options) -> Network:
    """An image classifier of transformers: a folder, or the name of a repository of the hub, which is downloaded."""
    spec, local = f"hf:{rest}", Path(rest).exists()
    if local and not (Path(rest) / "config.json").is_file():
        raise ValueError(f"{spec}: expected a folder with config.json, found none in it")
    transformers = package("transformers", "transformers", spec)
    try:
        model = transformers.AutoModelForImageClassification.from_pretrained(
            rest, local_files_only=local, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{spec}: expected an image classifier, got: {first_line(error)}") from None
    config, facts = model.config, _processor(rest, local)
    side = facts.get("crop_size") if facts.get("do_center_crop") else facts.get("size")
    size, whole = _sides(side or getattr(config, "image_size", None)), _sides(facts.get("size"))
    crop = min(1.0, size[0] / whole[0]) if size and whole and facts.get("do_center_crop") else 1.0
    names = [config.id2label[key] for key in sorted(config.id2label)]
    scaled = facts.get("do_normalize", "image_mean" in facts)
    mean, std = (tuple(facts[key]) if scaled and key in facts else None for key in ("image_mean", "image_std"))
    factor = 255 * facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 255.0
    if not math.isclose(factor, 1):  # its pixels are not those of [0, 1]: the same of those
        channels = getattr(config, "num_channels", 3)
        mean, std = (tuple(v / factor for v in m) for m in (mean or (0.0,) * channels, std or (1.0,) * channels))
    return Network(
        Path(rest).name, "transformers", lambda *_: model, getattr(config, "num_channels", 3), size, crop,
        mean, std, "preprocessor_config.json" if mean else None,
        None if all(str(name).startswith("LABEL_") for name in names) else tuple(map(str, names)),
    )  # fmt: skip


def _processor(rest: str, local: bool) -> dict[str, Any]:
    """What preprocessor_config.json says; nothing where there is none."""
    path = Path(rest) / "preprocessor_config.json"
    if not local:
        hub = import_module("huggingface_hub")
        try:
            path = Path(hub.hf_hub_download(rest, "preprocessor_config.json"))
        except hub.errors.EntryNotFoundError:
            return {}
    return json.loads(path.read_text()) if path.is_file() else {}


def _sides(size: Any) -> tuple[int, int] | None:
    """Height and width of a size as transformers writes it."""
    if isinstance(size, dict):
        side = size.get("shortest_edge")
        size = (size["height"], size["width"]) if "height" in size else side
    if size is None:
        return None
    return (int(size), int(size)) if isinstance(size, int | float) else (int(size[0]), int(size[1]))


LIBRARIES: dict[str, Callable[[str, Options], Network]] = {
    "timm": of_timm,
    "torchvision": of_torchvision,
    "hf": of_transformers,
}
