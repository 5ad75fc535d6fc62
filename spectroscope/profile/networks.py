"""Networks from elsewhere: a library's by name, a function's, weights in a file, an exported program, an ONNX file.

`read` translates each of them into a `Network`: how to make a module from normalised pixels to outputs, and what is
known of the images it wants. No code of a checkpoint is run, and nothing is downloaded unless the name says so. A
function that is named is run: it is code of the user's own.
"""

import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.models import architectures, loading
from spectroscope.pipeline import io

NO_PICKLED_CODE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # makes every torch.load refuse a pickle with code
Shape = tuple[int, int, int]  # channels, height, width
ENTRIES = (None, "state_dict", "model_state_dict", "model", "net", "weights")  # where checkpoints keep their weights
CROP = 0.875  # central part of an image that torchvision's and timm's networks are shown, where nothing else is known


@dataclass(frozen=True)
class Options:
    """What the user says of a network; None leaves it to its file or library."""

    architecture: str | None
    entry: str | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    size: int | None
    bgr: bool = False
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Network:
    """make: shape of the images, their number of classes -> module of normalised pixels (N, C, H, W). None: not known.

    crop: share of an image's shorter side that is shown. normalisation: where mean and std come from. gradient: whether
    the module is differentiable in its input. random: whether the weights are. run: its entry of `runs` in a study.
    """

    name: str
    kind: str
    make: Callable[[Shape, int], nn.Module]
    channels: int | None = None
    size: tuple[int, int] | None = None
    crop: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    normalisation: str | None = None
    classes: tuple[str, ...] | None = None
    gradient: bool = True
    random: bool = False
    run: dict[str, Any] | None = None


def read(spec: str, options: Options) -> Network:
    """The network that `spec` names; ValueError in one sentence for one that does not exist or cannot be read."""
    if "" not in sys.path:  # an installed command does not look for modules in the current folder, `python -m` does
        sys.path.insert(0, "")
    scheme, _, rest = spec.partition(":")
    suffix = Path(spec).suffix
    if scheme in LIBRARIES and rest:
        network = LIBRARIES[scheme](rest, options)
    elif suffix in FILES and ":" not in Path(spec).name:
        if not Path(spec).is_file():
            raise ValueError(f"{spec}: expected a file, found none in {Path.cwd()}")
        network = FILES[suffix](spec, options)
    elif ":" in spec:
        network = _from_function(spec)
    else:
        raise ValueError(f"{spec}: expected {KNOWN}, got none of them")
    if network.kind != "function":
        network = replace(network, make=_evaluating(network.make))
    if options.size is not None:
        network = replace(network, size=(options.size, options.size), crop=1.0)
    if options.classes is not None:
        network = replace(network, classes=options.classes)
    if options.mean is not None or options.std is not None:
        if options.mean is None or options.std is None or len(options.mean) != len(options.std):
            raise ValueError("expected --mean and --std together, with as many numbers each")
        network = replace(network, mean=options.mean, std=options.std, normalisation="--mean and --std")
    return network


def _evaluating(make: Callable[[Shape, int], nn.Module]) -> Callable[[Shape, int], nn.Module]:
    """What is made here is made for inference; a function's network keeps the mode it comes in, which is checked."""

    def made(shape: Shape, n_classes: int) -> nn.Module:
        model = make(shape, n_classes)
        for part in model.modules():
            part.training = False  # an exported program refuses .eval()
        return model

    return made


def _package(name: str, extra: str, spec: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        reason = f"found none ({error})" if importlib.util.find_spec(name) else "found none"
        raise ValueError(
            f"{spec}: expected the package {name}, {reason}: pip install 'spectroscope[{extra}]'"
        ) from None


def _timm(rest: str, options: Options) -> Network:
    """`NAME[@file]` of timm; `@pretrained` downloads the published weights."""
    spec, (name, _, weights) = f"timm:{rest}", rest.partition("@")
    timm = _package("timm", "timm", spec)
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('.')[0][:6]}*")[:5]) or "see timm.list_models()"
        raise ValueError(f"{spec}: expected a network of timm, got {name!r}; similar: {near}")
    tensors = None if weights in ("", "pretrained") else _tensors(Path(weights), options.entry)
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
        rest, "timm", lambda *_: model, channels, (height, width), facts["crop_pct"], tuple(facts["mean"]),
        tuple(facts["std"]), "timm's configuration", classes, random=not weights,
    )  # fmt: skip


def _timm_classes(timm: Any, name: str, tensors: dict[str, Tensor]) -> int:
    """Outputs of a network of timm, from the weights of its classifier."""
    head = timm.get_pretrained_cfg(name).classifier
    head = head[0] if isinstance(head, tuple | list) else head
    found = tensors.get(f"{head}.weight", next((t for t in reversed(tensors.values()) if t.ndim == 2), None))
    return 1000 if found is None else len(found)


def _torchvision(rest: str, options: Options) -> Network:
    """`NAME[@file]` of torchvision; `@DEFAULT` or the name of published weights downloads them."""
    spec, (name, _, weights) = f"torchvision:{rest}", rest.partition("@")
    models = _package("torchvision.models", "attacks", spec)
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
        tensors = _tensors(Path(weights), options.entry)
        last = next((t for t in reversed(tensors.values()) if t.ndim == 2), None)
        model = models.get_model(name, weights=None, num_classes=1000 if last is None else len(last))
        io.load_tensors(model, tensors, Path(weights))
    else:
        model = _without_zeros(models.get_model(name, weights=None))
    side, whole = shown.crop_size[0], shown.resize_size[0]
    n_classes = next((len(w) for w in reversed([*model.parameters()]) if w.ndim == 2), 0)
    classes = tuple(facts.meta["categories"])
    return Network(
        rest, "torchvision", lambda *_: model, 3, (side, side), min(1.0, side / whole), tuple(shown.mean),
        tuple(shown.std), "torchvision's configuration", classes if len(classes) == n_classes else None, random=random,
    )  # fmt: skip


def _without_zeros(model: nn.Module) -> nn.Module:
    """A network of random weights whose last layer is random too: of zeros, as those of transformers are, it would give
    every image the same outputs."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not bool(layer.weight.any()):
            nn.init.trunc_normal_(layer.weight, std=0.02)
    return model


def _hugging_face(rest: str, options: Options) -> Network:
    """An image classifier of transformers: a folder, or the name of a repository of the hub, which is downloaded."""
    spec, local = f"hf:{rest}", Path(rest).exists()
    if local and not (Path(rest) / "config.json").is_file():
        raise ValueError(f"{spec}: expected a folder with config.json, found none in it")
    transformers = _package("transformers", "transformers", spec)
    try:
        model = transformers.AutoModelForImageClassification.from_pretrained(
            rest, local_files_only=local, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{spec}: expected an image classifier, got: {_first_line(error)}") from None
    config, facts = model.config, _processor(rest, local)
    side = facts.get("crop_size") if facts.get("do_center_crop") else facts.get("size")
    size, whole = _sides(side or getattr(config, "image_size", None)), _sides(facts.get("size"))
    crop = min(1.0, size[0] / whole[0]) if size and whole and facts.get("do_center_crop") else 1.0
    names = [config.id2label[key] for key in sorted(config.id2label)]
    scaled = facts.get("do_normalize", "image_mean" in facts)
    mean, std = (tuple(facts[key]) if scaled and key in facts else None for key in ("image_mean", "image_std"))
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


def _from_function(spec: str) -> Network:
    """`file.py:function` or `module:function`: takes nothing, or (channels, n_classes, small) as in a study."""
    place, _, name = spec.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else import_module(place)
        function = getattr(module, name)
    except (ImportError, AttributeError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{spec}: expected {KNOWN}, got: {_first_line(error)}") from None
    if not callable(function):
        raise ValueError(f"{spec}: expected {name} to be a function, got {type(function).__name__}")
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in (0, 1)]
    if len(needed) not in (0, 3):
        raise ValueError(
            f"{spec}: expected a function of nothing, or of (channels, n_classes, small), that returns the network, "
            f"got one of {', '.join(p.name for p in needed)}"
        )
    run = {"model": spec, "weights": None} if len(needed) == 3 and not place.endswith(".py") else None

    def make(shape: Shape, n_classes: int) -> nn.Module:
        asked = (shape[0], n_classes, max(shape[1:]) <= architectures.SMALL_SIDE)
        model = function(*asked) if needed else function()
        if not callable(model):
            raise ValueError(f"{spec}: expected the function to return a network, got {type(model).__name__}")
        return model if isinstance(model, nn.Module) else Function(model)

    return Network(name, "function", make, run=run)


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    description = importlib.util.spec_from_file_location(path.stem, path)
    assert description and description.loader
    module = importlib.util.module_from_spec(description)
    sys.path.insert(0, str(path.resolve().parent))  # as `python file.py` would: its imports lie beside it
    try:
        description.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


class Function(nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Any:
        return self._function(x)


def _from_weights(spec: str, options: Options) -> Network:
    """Tensors in a file, and the architecture that they are weights of."""
    path = Path(spec)
    tensors = _tensors(path, options.entry)
    name = options.architecture
    if name is None:
        known = ", ".join(architectures.ARCHITECTURES)
        raise ValueError(
            f"{spec}: expected --architecture, since a file of weights does not say what it is: one of {known}, or "
            "module:function; got none"
        )
    architectures.architecture(name)  # an unknown one is refused before anything else
    first = next((tensor for tensor in tensors.values() if tensor.ndim == 4), None)
    if first is None:
        raise ValueError(f"{spec}: expected the weights of a network of images, got no convolution among them")
    side = architectures.FIXED_SIDES.get(name)
    keys = next((key for key, sign in SIGNS.items() if any(sign in tensor for tensor in tensors)), "plain")
    inside = keys != "plain"
    run = {"model": name, "weights": [str(path.absolute())], "entry": _entry(path, options.entry), "keys": keys}
    return Network(
        path.name.split(".")[0], f"{name}, weights of {path.name}", partial(_filled, path, name, keys, options.entry),
        first.shape[1], (side, side) if side else None, normalisation="the file of weights" if inside else None,
        run=run,
    )  # fmt: skip


SIGNS = {"madry": "attacker.", "own": "0.mean"}  # names in a file that tell its naming scheme


def _filled(path: Path, name: str, keys: str, entry: str | None, shape: Shape, _: int) -> nn.Module:
    """The architecture with the weights of a file; the number of classes is that of the file."""
    entry = _entry(path, entry)
    heads = [len(tensor) for tensor in reversed(loading.tensors_of(path, entry).values()) if tensor.ndim in (2, 4)]
    faults = []
    for n_classes in dict.fromkeys(heads):
        model = architectures.build(name, shape, n_classes)
        try:
            loading.load_weights(model, path, entry, keys)
        except ValueError as error:
            faults.append(error)
        else:
            return model
    raise faults[0]


def _entry(path: Path, entry: str | None) -> str | None:
    """Where the weights lie in a checkpoint: as said, or the first of ENTRIES that holds tensors alone."""
    if entry is not None or path.suffix == ".safetensors":
        return entry
    faults = []
    for name in ENTRIES:
        try:
            loading.tensors_of(path, name)
        except ValueError as error:
            faults.append(error)
        else:
            return name
    raise faults[0]


def _tensors(path: Path, entry: str | None) -> dict[str, Tensor]:
    """Tensors by name, without the wrappers that all names may begin with."""
    tensors = loading.tensors_of(path, _entry(path, entry))
    for wrapper in loading.WRAPPERS:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): value for name, value in tensors.items()}
    if not tensors:
        raise ValueError(f"{path}: expected tensors, got an empty file")
    return tensors


def _exported(spec: str, options: Options) -> Network:
    """A program of torch.export, whose graph of torch's own operations is run."""
    former = os.environ.get(NO_PICKLED_CODE)
    os.environ[NO_PICKLED_CODE] = "1"  # torch.export.load falls back on unpickling code
    try:
        program = torch.export.load(spec)
    except Exception as error:  # a damaged archive may raise anything
        raise ValueError(f"{spec}: expected a program of torch.export, got: {_first_line(error)}") from None
    finally:
        os.environ.pop(NO_PICKLED_CODE)
        os.environ.update({NO_PICKLED_CODE: former} if former is not None else {})
    place = program.graph_signature.user_inputs[0]
    shape = next(node.meta["val"].shape for node in program.graph.nodes if node.name == place)
    if len(shape) != 4:
        raise ValueError(f"{spec}: expected a program of images (N, C, H, W), got inputs of {len(shape)} axes")
    n, channels, height, width = (side if isinstance(side, int) else None for side in shape)
    model = program.module()
    return Network(
        Path(spec).stem, "exported program", lambda *_: InBatches(model, n), channels,
        (height, width) if height and width else None,
    )  # fmt: skip


class InBatches(nn.Module):
    """A model that takes a fixed number of images at once, on any number of them; None takes them all."""

    def __init__(self, model: Callable[[Tensor], Any], size: int | None) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, x: Tensor) -> Any:
        if self.size is None:
            return self.model(x)
        missing = -len(x) % self.size
        x_full = torch.cat([x, x[-1:].expand(missing, -1, -1, -1)]) if missing else x
        parts = [self.model(part) for part in x_full.split(self.size)]
        return torch.cat([part[0] if isinstance(part, tuple | list) else part for part in parts])[: len(x)]


def _onnx(spec: str, options: Options) -> Network:
    """An ONNX file, run by onnxruntime: no gradient."""
    runtime = _package("onnxruntime", "onnx", spec)
    choices = runtime.SessionOptions()
    choices.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(spec, choices, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception of its own for each fault
        raise ValueError(f"{spec}: expected an ONNX file, got: {_first_line(error)}") from None
    (first, *others) = session.get_inputs()
    if others or len(first.shape) != 4:
        raise ValueError(
            f"{spec}: expected one input of images (N, C, H, W), got {[i.shape for i in (first, *others)]}"
        )
    n, channels, height, width = (side if isinstance(side, int) else None for side in first.shape)
    name = session.get_outputs()[0].name

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run([name], {first.name: x.detach().cpu().contiguous().numpy()})[0])

    return Network(
        Path(spec).stem, "ONNX", lambda *_: InBatches(run, n), channels, (height, width) if height and width else None,
        gradient=False,
    )  # fmt: skip


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


LIBRARIES: dict[str, Callable[[str, Options], Network]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hugging_face,
}
FILES: dict[str, Callable[[str, Options], Network]] = {
    ".onnx": _onnx,
    ".pt2": _exported,
    **dict.fromkeys((".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".model", ".tar"), _from_weights),
}
KNOWN = (
    "timm:NAME[@file], torchvision:NAME[@file], hf:FOLDER, file.py:function, module:function, or a file ending in "
    f"{', '.join(FILES)}"
)
