"""Models: a network preceded by its own normalisation of pixels in [0, 1]; frozen for inference; read from a folder.

Weights start from random or from a file at hand; nothing is downloaded.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spectroscope.models.architectures import MODELS, SMALL, lookup
from spectroscope.pipeline import io, machine


class Normalise(nn.Module):
    """(x - mean) / std by channel; the two are buffers, so they travel with the weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def fit(self, pixels: Tensor) -> None:
        """Take mean and standard deviation (at least 1/255) by channel from images (N, C, H, W)."""
        self.mean.copy_(pixels.mean((0, 2, 3))[:, None, None])
        self.std.copy_(pixels.std((0, 2, 3)).clamp_min(1 / 255)[:, None, None])


def build(name: str, shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A network for images of `shape` (C, H, W): pixels (N, C, H, W) in [0, 1] -> logits (N, n_classes)."""
    channels, height, width = shape
    return nn.Sequential(Normalise(channels), lookup(name)(channels, n_classes, max(height, width) <= SMALL))


def freeze(model: nn.Module) -> nn.Module:
    """A copy for inference: evaluation mode, BatchNorm folded into the convolutions, weights without gradients.

    Folded is a BatchNorm that alone takes what a convolution gives; others, as in pre-activation networks, stay.
    """
    graph = fx.symbolic_trace(copy.deepcopy(model).eval())
    layers = dict(graph.named_modules())
    uses = Counter(node.target for node in graph.graph.nodes)
    for node in graph.graph.nodes:
        if not isinstance(layers.get(node.target), nn.BatchNorm2d):
            continue
        (before,) = node.args
        if isinstance(layers.get(before.target), nn.Conv2d) and len(before.users) == uses[before.target] == 1:
            folded = fuse_conv_bn_eval(layers[before.target], layers[node.target])
            graph.set_submodule(before.target, folded)
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return _still(graph)


def _still(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def restore_all(folder: Path, name: str, shape: tuple[int, ...], n_classes: int) -> Iterator[tuple[int, nn.Module]]:
    """Seed and frozen network, on the device at hand, for each `seed<number>.safetensors` of a run's folder."""
    files = sorted(folder.glob("seed*.safetensors"), key=lambda file: int(file.stem.removeprefix("seed")))
    if not files:
        raise ValueError(f"{folder}: expected seed<number>.safetensors, found none")
    for file in files:
        model = io.read_weights(file, build(name, shape, n_classes))
        frozen = freeze(model) if name in MODELS else _still(model)  # tracing another's forward could change it
        yield int(file.stem.removeprefix("seed")), frozen.to(machine.device())


@torch.no_grad()
def predict(model: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Class of the largest logit, computed on the device at hand: (N, C, H, W) -> (N,) on the CPU."""
    parts = pixels.split(machine.forward_batch_size())
    return torch.cat([model(part.to(machine.device())).argmax(1).cpu() for part in parts])
