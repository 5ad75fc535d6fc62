"""Networks: a registry of builders, each network preceded by its own normalisation of pixels in [0, 1].

Small images (no side above 64) get the CIFAR form: a 3x3 stem of stride 1 and no early pooling. Larger ones get
torchvision's own network. Weights always start from random; nothing is downloaded.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spectroscope import io, runtime

SMALL = 64  # pixels; CIFAR-10 has 32, Tiny ImageNet 64, ImageNet 224


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


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _resnet8(channels: int, classes: int, small: bool) -> nn.Module:
    """The CIFAR ResNet of depth 8 (He et al. 2016, section 4.2, n = 1): 16, 32, 64 channels, sized for a CPU."""
    if not small:
        raise ValueError(f"resnet8: expected images with no side above {SMALL}, got larger ones; use resnet18")
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def _torchvision_resnet(name: str) -> Callable[[int, int, bool], nn.Module]:
    def build(channels: int, classes: int, small: bool) -> nn.Module:
        from torchvision import models as zoo

        model = getattr(zoo, name)(weights=None, num_classes=classes)
        if small:
            model.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
            model.maxpool = nn.Identity()
        elif channels != 3:
            model.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        return model

    return build


def _vgg19(channels: int, classes: int, small: bool) -> nn.Module:
    """VGG-19 with BatchNorm; its CIFAR form ends in one linear layer on 512 features."""
    from torchvision import models as zoo

    model = zoo.vgg19_bn(weights=None, num_classes=classes)
    if channels != 3:
        model.features[0] = nn.Conv2d(channels, 64, 3, 1, 1)
    if small:
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, classes)
    return model


MODELS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "resnet8": _resnet8,
    "resnet18": _torchvision_resnet("resnet18"),
    "resnet50": _torchvision_resnet("resnet50"),
    "vgg19": _vgg19,
}


def lookup(name: str) -> Callable[[int, int, bool], nn.Module]:
    """The builder of a network; ValueError with the known names."""
    if name not in MODELS:
        raise ValueError(f"expected a model among {', '.join(MODELS)}, got {name!r}")
    return MODELS[name]


def build(name: str, shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A network for images of `shape` (C, H, W): pixels (N, C, H, W) in [0, 1] -> logits (N, n_classes)."""
    channels, height, width = shape
    return nn.Sequential(Normalise(channels), lookup(name)(channels, n_classes, max(height, width) <= SMALL))


def freeze(model: nn.Module) -> nn.Module:
    """A copy for inference: evaluation mode, BatchNorm folded into the convolutions, weights without gradients."""
    graph = fx.symbolic_trace(copy.deepcopy(model).eval())
    layers = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if not isinstance(layers.get(node.target), nn.BatchNorm2d):
            continue
        (before,) = node.args
        if isinstance(layers.get(before.target), nn.Conv2d) and len(before.users) == 1:
            folded = fuse_conv_bn_eval(layers[before.target], layers[node.target])
            graph.set_submodule(before.target, folded)
            node.replace_all_uses_with(before)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def restore_all(folder: Path, name: str, shape: tuple[int, ...], n_classes: int) -> Iterator[tuple[int, nn.Module]]:
    """Seed and frozen network, on the device at hand, for each `seed<number>.safetensors` of a run's folder."""
    files = sorted(folder.glob("seed*.safetensors"), key=lambda file: int(file.stem.removeprefix("seed")))
    if not files:
        raise ValueError(f"{folder}: expected seed<number>.safetensors, found none")
    for file in files:
        model = io.read_weights(file, build(name, shape, n_classes))
        yield int(file.stem.removeprefix("seed")), freeze(model).to(runtime.device())


@torch.no_grad()
def predict(model: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """Class of the largest logit, computed on the device at hand: (N, C, H, W) -> (N,) on the CPU."""
    parts = pixels.split(runtime.images_at_once())
    return torch.cat([model(part.to(runtime.device())).argmax(1).cpu() for part in parts])
