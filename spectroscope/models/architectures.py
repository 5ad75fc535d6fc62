"""Architectures: functions (channels, classes, small) -> network of normalised pixels, random weights.

Small images get the CIFAR form: a 3x3 stem of stride 1 and no early pooling. Larger ones get torchvision's own network
where there is one. Layers of the networks that others publish weights for have the names those weights have.
"""

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn

SMALL = 64  # pixels; CIFAR-10 has 32, Tiny ImageNet 64, ImageNet 224
Builder = Callable[[int, int, bool], nn.Module]


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
    _only_small("resnet8", small)
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


def _torchvision_resnet(name: str) -> Builder:
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


class PreActivation(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions (He et al. 2016b), named as in published weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        return kept + self.conv2(torch.relu(self.bn2(self.conv1(active))))


class PreActResNet18(nn.Module):
    """Four stages of two pre-activation blocks, 64 to 512 channels, and a last BatchNorm."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        self.layer1 = nn.Sequential(PreActivation(64, 64, 1), PreActivation(64, 64, 1))
        self.layer2 = nn.Sequential(PreActivation(64, 128, 2), PreActivation(128, 128, 1))
        self.layer3 = nn.Sequential(PreActivation(128, 256, 2), PreActivation(256, 256, 1))
        self.layer4 = nn.Sequential(PreActivation(256, 512, 2), PreActivation(512, 512, 1))
        self.bn, self.linear = nn.BatchNorm2d(512), nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(torch.relu(self.bn(x)).mean((2, 3)))


class WideBlock(nn.Module):
    """A pre-activation block whose shortcut has the names of Zagoruyko & Komodakis' published weights."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.convShortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.bn1(x))
        kept = x if self.convShortcut is None else self.convShortcut(active)
        return kept + self.conv2(torch.relu(self.bn2(self.conv1(active))))


class WideStage(nn.Module):
    """`depth` wide blocks, the first with the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int, depth: int) -> None:
        super().__init__()
        first, rest = WideBlock(inputs, outputs, stride), (WideBlock(outputs, outputs, 1) for _ in range(depth - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """WRN-depth-width (Zagoruyko & Komodakis 2016, Table 1), depth = 6n + 4, no dropout."""

    def __init__(self, channels: int, classes: int, depth: int, width: int) -> None:
        super().__init__()
        each = (depth - 4) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(16, 16 * width, 1, each)
        self.block2 = WideStage(16 * width, 32 * width, 2, each)
        self.block3 = WideStage(32 * width, 64 * width, 2, each)
        self.bn1, self.fc = nn.BatchNorm2d(64 * width), nn.Linear(64 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(torch.relu(self.bn1(x)).mean((2, 3)))


class Attention(nn.Module):
    """A transformer layer, normalised before attention and before the two linear layers (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.after(x))


class VisionTransformer(nn.Module):
    """A small ViT (Dosovitskiy et al. 2021): patches, six layers, the mean of the tokens read.

    Positions come from a depthwise convolution (Chu et al. 2021), so that images may have any size.
    """

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 192, side, side)
        self.position = nn.Conv2d(192, 192, 3, 1, 1, groups=192)
        self.layers = nn.Sequential(*(Attention(192, 3) for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        x = (x + self.position(x)).flatten(2).mT  # (N, patches, 192)
        return self.head(self.norm(self.layers(x)).mean(1))


def _preactresnet18(channels: int, classes: int, small: bool) -> nn.Module:
    _only_small("preactresnet18", small)
    return PreActResNet18(channels, classes)


def _wideresnet28(channels: int, classes: int, small: bool) -> nn.Module:
    _only_small("wideresnet28", small)
    return WideResNet(channels, classes, depth=28, width=10)


def _vit(channels: int, classes: int, small: bool) -> nn.Module:
    return VisionTransformer(channels, classes, side=4 if small else 16)


def _only_small(name: str, small: bool) -> None:
    if not small:
        raise ValueError(f"{name}: expected images with no side above {SMALL}, got larger ones; use resnet18")


MODELS: dict[str, Builder] = {
    "resnet8": _resnet8,
    "resnet18": _torchvision_resnet("resnet18"),
    "resnet50": _torchvision_resnet("resnet50"),
    "vgg19": _vgg19,
    "preactresnet18": _preactresnet18,
    "wideresnet28": _wideresnet28,
    "vit": _vit,
}


def lookup(name: str) -> Builder:
    """The builder of a network: a known one, or your own as `module:function`, which takes the same arguments.

    ValueError with the known names, or with what is wrong with the module or the function.
    """
    if ":" in name:
        return _own(*name.split(":", 1))
    if name not in MODELS:
        raise ValueError(f"expected a model among {', '.join(MODELS)}, or module:function, got {name!r}")
    return MODELS[name]


def _own(module: str, function: str) -> Builder:
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"expected a function {function!r} in a module {module!r}, got: {error}") from None
    if not callable(found):
        raise ValueError(f"expected {module}:{function} to be a function, got {type(found).__name__}")
    return found
