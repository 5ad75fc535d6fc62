"""What the layers of a network give for a batch of images: maps, or tokens that are put back on their grid."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

MOST_EXTRA_TOKENS = 8  # beside those of patches: class and distillation tokens, registers


@dataclass
class Layer:
    """One call of a module.

    name: that of the module in the network, with its place among the calls where there are several. module: its class.
    form: `maps`, `tokens`, or `none`, which `note` explains. channels, height, width: of the maps. dropped: tokens
    before those of patches, which are left out. also: modules that return this very tensor.
    """

    name: str
    module: str
    form: str = "none"
    channels: int = 0
    height: int = 0
    width: int = 0
    dropped: int = 0
    note: str = ""
    also: list[str] = field(default_factory=list)


@torch.no_grad()
def read_layers(model: nn.Module, images: Tensor, see: Callable[[Layer, Tensor], None]) -> list[Layer]:
    """Pass images (N, C, H, W) through the network in evaluation mode and show `see` each layer's maps (N, c, h, w).

    `see` is called while the network computes, so that no maps need be kept and a later layer that works in place
    changes none. Every call of a module is a layer of its own; one that returns the tensor of the layer before (a block
    that ends with it) is listed there, in `also`. Returns every layer in the order of the calls, then the innermost
    modules that were not called. Modes are restored and hooks removed, also after an error.
    """
    layers: list[Layer] = []
    calls: Counter[str] = Counter()
    last: tuple[Tensor, int] | None = None

    def hook(name: str, module: nn.Module, output: Any) -> None:
        nonlocal last
        calls[name] += 1
        label = name if calls[name] == 1 else f"{name} (call {calls[name]})"
        place, tensor = _first_tensor(output)
        if tensor is None:
            layers.append(Layer(label, type(module).__name__, note="gives no tensor"))
            return
        version = tensor._version  # rises when a module works in place: the same tensor, but other values
        if last is not None and tensor is last[0] and version == last[1]:
            layers[-1].also.append(label)
            return
        last = (tensor, version)
        grids = [(layer.height, layer.width) for layer in layers if layer.form == "maps"]
        layer = Layer(label, type(module).__name__)
        maps = _maps(tensor, images, grids, layer)
        if place is not None:
            layer.note = "; ".join(filter(None, [f"output {place} of several", layer.note]))
        layers.append(layer)
        if maps is not None:
            see(layer, maps)

    names = {name: module for name, module in model.named_modules() if name}
    handles = []
    with evaluating(model):
        try:
            for name, module in names.items():
                handles.append(
                    module.register_forward_hook(lambda owner, _, output, name=name: hook(name, owner, output))
                )
            model(images)
        finally:
            for handle in handles:
                handle.remove()
    silent = [name for name, module in names.items() if not calls[name] and not list(module.children())]
    return layers + [Layer(name, type(names[name]).__name__, note="not called as a module") for name in silent]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block; afterwards every module has the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _first_tensor(output: Any) -> tuple[Any, Tensor | None]:
    """Key (None for an output that is a tensor) and tensor: the first with three or four axes, else the first."""
    if isinstance(output, Tensor):
        return None, output
    items: list[tuple[Any, Any]] = []
    if isinstance(output, Mapping):
        items = list(output.items())
    elif isinstance(output, (tuple, list)):
        items = list(enumerate(output))
    tensors = [(key, value) for key, value in items if isinstance(value, Tensor)]
    return next((item for item in tensors if item[1].ndim in (3, 4)), tensors[0] if tensors else (None, None))


def _maps(output: Tensor, images: Tensor, grids: list[tuple[int, int]], layer: Layer) -> Tensor | None:
    """The maps (N, c, h, w) of an output, and what they are written into `layer`; None for an output without."""
    n, size = len(images), (images.shape[-2], images.shape[-1])
    if not output.is_floating_point():
        layer.note = f"gives {str(output.dtype).removeprefix('torch.')} values"
        return None
    if output.ndim == 3 and output.shape[0] != n and output.shape[1] == n:
        output = output.transpose(0, 1)  # tokens first, as nn.MultiheadAttention has them by default
    if output.ndim not in (3, 4) or output.shape[0] != n:
        shape = " x ".join(map(str, output.shape[1:])) or "one number"
        windows = output.ndim in (3, 4)
        layer.note = f"first axis {output.shape[0]}, not {n} images" if windows else f"no maps or tokens: {shape}"
        return None
    if output.ndim == 4:
        maps, grid = _with_channels_first(output, size), None
        tokens = [height * width + extra for height, width in grids for extra in range(MOST_EXTRA_TOKENS + 1)]
        if output.shape[2] == output.shape[3] and output.shape[2] in tokens and output.shape[2:] not in grids:
            layer.note = f"attention between {output.shape[2]} tokens"
            return None
    else:
        grid = _grid(output.shape[1], size, grids)
        if grid is None:
            layer.note = f"{output.shape[1]} tokens that fit no grid"
            return None
        layer.dropped = output.shape[1] - grid[0] * grid[1]
        maps = output[:, layer.dropped :].mT.unflatten(2, grid)
    if maps.shape[-2] * maps.shape[-1] == 1:
        layer.note, layer.dropped = "one position", 0
        return None
    layer.form = "maps" if grid is None else "tokens"
    layer.channels, layer.height, layer.width = maps.shape[1:]
    if grid is None and maps is not output:
        layer.note = "channels last"
    return maps


def _with_channels_first(output: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, c, h, w) of (N, c, h, w) or (N, h, w, c): the grid is that whose proportions are nearer to the image's."""

    def error(height: int, width: int) -> float:
        return abs(math.log(height * size[1] / (width * size[0])))

    _, one, two, three = output.shape
    return output.movedim(3, 1) if error(one, two) < error(two, three) - 1e-9 else output


def _grid(tokens: int, size: tuple[int, int], grids: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Grid of patches: that of the last maps which leave few tokens over, else one in the shape of the image."""
    for height, width in reversed(grids):
        if 0 <= tokens - height * width <= min(MOST_EXTRA_TOKENS, height * width):
            return height, width
    for patches in range(tokens, max(1, tokens - MOST_EXTRA_TOKENS) - 1, -1):
        height = math.isqrt(patches * size[0] // size[1])
        for candidate in (height, height + 1):
            if candidate and patches % candidate == 0 and candidate * size[1] == patches // candidate * size[0]:
                return candidate, patches // candidate
    return None
