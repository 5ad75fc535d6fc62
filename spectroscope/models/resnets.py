"""Residual networks for small images."""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
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
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet8(channels: int, n_classes: int) -> nn.Module:
    """The CIFAR ResNet of depth 8 (He et al. 2016, section 4.2, n = 1): 16, 32, 64 channels, fast on a CPU."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        BasicBlock(16, 16, 1),
        BasicBlock(16, 32, 2),
        BasicBlock(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, n_classes),
    )


class PreActivationBlock(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions (He et al. 2016b), named as in published weights.

    wide: name the convolution of the shortcut as Zagoruyko & Komodakis do.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, wide: bool = False) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same_shape = stride == 1 and inputs == outputs
        projection = None if same_shape else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.convShortcut = projection if wide else None
        self.shortcut = None if wide or projection is None else nn.Sequential(projection)

    def forward(self, x: Tensor) -> Tensor:
        active, projection = torch.relu(self.bn1(x)), self.convShortcut or self.shortcut
        shortcut = x if projection is None else projection(active)
        return shortcut + self.conv2(torch.relu(self.bn2(self.conv1(active))))


class PreActResNet18(nn.Module):
    """Four stages of two pre-activation blocks, 64 to 512 channels, and a last BatchNorm."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        self.layer1 = nn.Sequential(PreActivationBlock(64, 64, 1), PreActivationBlock(64, 64, 1))
        self.layer2 = nn.Sequential(PreActivationBlock(64, 128, 2), PreActivationBlock(128, 128, 1))
        self.layer3 = nn.Sequential(PreActivationBlock(128, 256, 2), PreActivationBlock(256, 256, 1))
        self.layer4 = nn.Sequential(PreActivationBlock(256, 512, 2), PreActivationBlock(512, 512, 1))
        self.bn, self.linear = nn.BatchNorm2d(512), nn.Linear(512, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(torch.relu(self.bn(x)).mean((2, 3)))


def _wide_stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Module:
    """Wide blocks, the first with the stride, below the name `layer` that they have in published weights."""
    first = PreActivationBlock(inputs, outputs, stride, wide=True)
    rest = (PreActivationBlock(outputs, outputs, 1, wide=True) for _ in range(blocks - 1))
    return nn.Sequential(OrderedDict(layer=nn.Sequential(first, *rest)))


class WideResNet(nn.Module):
    """WRN-depth-width (Zagoruyko & Komodakis 2016, Table 1), depth = 6n + 4, no dropout."""

    def __init__(self, channels: int, n_classes: int, depth: int, width: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6  # in each stage
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.block1 = _wide_stage(16, 16 * width, 1, blocks)
        self.block2 = _wide_stage(16 * width, 32 * width, 2, blocks)
        self.block3 = _wide_stage(32 * width, 64 * width, 2, blocks)
        self.bn1, self.fc = nn.BatchNorm2d(64 * width), nn.Linear(64 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(torch.relu(self.bn1(x)).mean((2, 3)))
