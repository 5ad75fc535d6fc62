"""Networks that bring their own code: a function of the user, a program of torch.export, an ONNX file."""

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from spectroscope.models import architectures
from spectroscope.profile.network import Network, Options, Shape, first_line, package

NO_PICKLED_CODE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # makes every torch.load refuse a pickle with code


def of_function(spec: str, known: str) -> Network:
    """`file.py:function` or `module:function`: takes nothing, or (channels, n_classes, small) as in a study."""
    place, _, name = spec.rpartition(":")
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else import_module(place)
        function = getattr(module, name)
    except (ImportError, AttributeError, ValueError, FileNotFoundError) as error:
        raise ValueError(f"{spec}: expected {known}, got: {first_line(error)}") from None
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


def of_export(spec: str, options: Options) -> Network:
    """A program of torch.export, whose graph of torch's own operations is run."""
    former = os.environ.get(NO_PICKLED_CODE)
    os.environ[NO_PICKLED_CODE] = "1"  # torch.export.load falls back on unpickling code
    try:
        program = torch.export.load(spec)
    except Exception as error:  # a damaged archive may raise anything
        raise ValueError(f"{spec}: expected a program of torch.export, got: {first_line(error)}") from None
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


def of_onnx(spec: str, options: Options) -> Network:
    """An ONNX file, run by onnxruntime: no gradient."""
    runtime = package("onnxruntime", "onnx", spec)
    choices = runtime.SessionOptions()
    choices.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(spec, choices, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception of its own for each fault
        raise ValueError(f"{spec}: expected an ONNX file, got: {first_line(error)}") from None
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
