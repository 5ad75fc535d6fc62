"""The networks that can be trained: `build` makes one for pixels in [0, 1], with random weights.

An architecture is a function (channels, n_classes, small) -> network of normalised pixels. `small` asks for the form
for CIFAR: a 3x3 stem of stride 1 and no early pooling. Layers are named as in published weights of the same network.
"""

import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from spectroscope.models import public, resnets
from spectroscope.models.transformers import VisionTransformer

SMALL_SIDE = 64  # pixels, at most: CIFAR-10 has 32, Tiny ImageNet 64, ImageNet 224
Architecture = Callable[[int, int, bool], nn.Module]


class Normalise(nn.Module):
    """(x - mean) / std by channel; both are buffers, so they are saved with the weights."""

    mean: Tensor  # (C, 1, 1)
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def fit(self, pixels: Tensor) -> None:
        """Set mean and standard deviation (at least 1/255) to those of images (N, C, H, W), channel by channel."""
        self.mean.copy_(pixels.mean((0, 2, 3))[:, None, None])
        self.std.copy_(pixels.std((0, 2, 3)).clamp_min(1 / 255)[:, None, None])


class Network(nn.Sequential):
    """Normalise, then an architecture: their weights are named `0.mean`, `0.std` and `1.` with the layer's own name.

    memory_format: the order in memory in which it computes. The known architectures are fastest in channels_last; a
    network of the user's own may call `view`, which needs the other.
    """

    memory_format: torch.memory_format = torch.channels_last

    def forward(self, x: Tensor) -> Tensor:
        if self.memory_format is not torch.channels_last:
            x = x.clone(memory_format=self.memory_format)  # `contiguous` may keep the strides of a single channel
        return super().forward(x)

    @property
    def normalise(self) -> Normalise:
        return cast(Normalise, self[0])


def build(name: str, shape: tuple[int, ...], n_classes: int) -> Network:
    """A network for images of `shape` (C, H, W): pixels (N, C, H, W) in [0, 1] -> logits (N, n_classes).

    ValueError for an unknown architecture, for one that takes small images only, or of one size only, where `shape` is
    another, and for a function of the user's own that fails or returns no network.
    """
    channels, height, width = shape
    side = FIXED_SIDES.get(name)
    if side is not None and (height, width) != (side, side):
        raise ValueError(f"{name}: expected images of {side} x {side} pixels, got {height} x {width}")
    small = max(height, width) <= SMALL_SIDE
    if name in ARCHITECTURES:
        return Network(Normalise(channels), ARCHITECTURES[name](channels, n_classes, small))
    network = Network(Normalise(channels), _built(name, architecture(name), channels, n_classes, small))
    network.memory_format = torch.contiguous_format
    return network


def architecture(name: str) -> Architecture:
    """A known architecture, or your own as `module:function`, a function of the same arguments.

    ValueError with the known names, or with what is wrong with the module or the function.
    """
    if ":" in name:
        return _imported(*name.split(":", 1))
    if name not in ARCHITECTURES:
        raise ValueError(f"expected a model among {', '.join(ARCHITECTURES)}, or module:function, got {name!r}")
    return ARCHITECTURES[name]


def _imported(module: str, name: str) -> Architecture:
    try:
        function = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:  # the module's own code runs, and may raise anything or exit
        got = error if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__} {error}".strip()
        raise ValueError(f"expected a function {name!r} in a module {module!r}, got: {got}") from None
    if not callable(function):
        raise ValueError(f"expected {module}:{name} to be a function, got {type(function).__name__}")
    try:
        signature(function).bind(3, 10, True)
    except TypeError as error:
        raise ValueError(f"expected {module}:{name} to take (channels, n_classes, small), got: {error}") from None
    except ValueError:  # a callable without a signature
        pass
    return function


def _built(name: str, function: Architecture, channels: int, n_classes: int, small: bool) -> nn.Module:
    """The network that a function of the user's own returns."""
    call = f"{name}({channels}, {n_classes}, {small})"
    try:
        network = function(channels, n_classes, small)
    except (Exception, SystemExit) as error:
        lines, last = str(error).strip().splitlines(), traceback.extract_tb(error.__traceback__)[-1]
        got = f"{type(error).__name__} in line {last.lineno} of {Path(last.filename).name}: {(lines or [''])[0]}"
        raise ValueError(f"expected a network from {call}, got {got}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"expected a network from {call}, a torch.nn.Module, got {type(network).__name__}")
    return network


def _torchvision_resnet(name: str, channels: int, n_classes: int, small: bool) -> nn.Module:
    from torchvision import models

    model = getattr(models, name)(weights=None, num_classes=n_classes)
    if small:
        model.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        model.maxpool = nn.Identity()
    elif channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return model


def _vgg19(channels: int, n_classes: int, small: bool) -> nn.Module:
    """VGG-19 with BatchNorm; its CIFAR form ends in one linear layer on 512 features."""
    from torchvision import models

    model = models.vgg19_bn(weights=None, num_classes=n_classes)
    if channels != 3:
        model.features[0] = nn.Conv2d(channels, 64, 3, 1, 1)
    if small:
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, n_classes)
    return model


def _vit(channels: int, n_classes: int, small: bool) -> nn.Module:
    return VisionTransformer(channels, n_classes, side=4 if small else 16)


def _small_only(
    name: str, make: Callable[[int, int], nn.Module], channels: int, n_classes: int, small: bool
) -> nn.Module:
    if not small:
        raise ValueError(f"{name}: expected images with no side above {SMALL_SIDE}, got larger ones; use resnet18")
    return make(channels, n_classes)


def _small_network(name: str, make: Callable[[int, int], nn.Module]) -> Architecture:
    return partial(_small_only, name, make)


def _cifar_resnet(name: str, blocks: int) -> Architecture:
    return _small_network(name, partial(public.CifarResNet, blocks=blocks))


def _cnn(name: str, convolutions: list[public.Convolution], hidden: list[int]) -> Architecture:
    return _small_network(name, partial(public.cnn, convolutions=convolutions, hidden=hidden))


ARCHITECTURES: dict[str, Architecture] = {
    "resnet8": _small_network("resnet8", resnets.resnet8),
    "resnet18": partial(_torchvision_resnet, "resnet18"),
    "resnet50": partial(_torchvision_resnet, "resnet50"),
    "vgg19": _vgg19,
    "preactresnet18": _small_network("preactresnet18", resnets.PreActResNet18),
    "wideresnet28": _small_network("wideresnet28", partial(resnets.WideResNet, depth=28, width=10)),
    "vit": _vit,
    "resnet20": _cifar_resnet("resnet20", 3),
    "resnet32": _cifar_resnet("resnet32", 5),
    "resnet44": _cifar_resnet("resnet44", 7),
    "resnet56": _cifar_resnet("resnet56", 9),
    "resnet2b": _small_network("resnet2b", partial(public.PlainResNet, stem=8, widths=[16])),
    "resnet4b": _small_network("resnet4b", partial(public.PlainResNet, stem=16, widths=[32, 32])),
    "cnn-a": _cnn("cnn-a", [(16, 4, 2, 1), (32, 4, 2, 1)], [100]),
    "cnn-base": _cnn("cnn-base", [(8, 4, 2, 1), (16, 4, 2, 1)], [100]),
    "cnn-deep": _cnn("cnn-deep", [(8, 4, 2, 1), (8, 3, 1, 1), (8, 3, 1, 1), (8, 4, 2, 1)], [100]),
    "conv-small": _cnn("conv-small", [(16, 4, 2, 0), (32, 4, 2, 0)], [100]),
    "marabou-large": _cnn("marabou-large", [(32, 4, 2, 0), (64, 4, 2, 0)], [128, 64]),
    "lenet5": _small_network("lenet5", public.LeNet5),
}
FIXED_SIDES = {  # pixels: the only height and width of images that an architecture takes
    **dict.fromkeys(
        ["resnet2b", "resnet4b", "cnn-a", "cnn-base", "cnn-deep", "conv-small", "marabou-large"], public.CIFAR_SIDE
    ),
    "lenet5": public.MNIST_SIDE,
}
