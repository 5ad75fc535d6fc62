"""Small networks whose trained weights are public, with their layers named as in these files."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# pixels: the height and width that a network with linear layers on all pixels is made for
CIFAR_SIDE = 32
MNIST_SIDE = 28
Convolution = tuple[int, int, int, int]  # channels, kernel, stride, padding


class PaddedBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and a shortcut without weights (He et al. 2016, section 3.3, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.stride, self.zeros = stride, (outputs - inputs) // 2  # channels of zeros on either side

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.zeros, self.zeros))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + shortcut)


class CifarResNet(nn.Module):
    """The CIFAR ResNet of depth 6 `blocks` + 2 (He et al. 2016, section 4.2): 16, 32, 64 channels, no projections."""

    def __init__(self, channels: int, n_classes: int, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = _stage(PaddedBlock, 16, 16, 1, blocks)
        self.layer2 = _stage(PaddedBlock, 16, 32, 2, blocks)
        self.layer3 = _stage(PaddedBlock, 32, 64, 2, blocks)
        self.linear = nn.Linear(64, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions without BatchNorm; the shortcut is a 1x1 convolution where the block has a stride."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Sequential()  # of no layer: the identity
        if stride > 1:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x))


class PlainResNet(nn.Module):
    """A ResNet without BatchNorm, made for verification: `resnet2b` and `resnet4b` of alpha-beta-CROWN.

    A stem of stride 2, one or two stages of two blocks (`widths`: the channels of each, all of stride 2), and two
    linear layers.
    """

    def __init__(self, channels: int, n_classes: int, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, stem, 3, 2, 1)
        self.layer1: nn.Module = _stage(PlainBlock, stem, widths[0], 2, 2)
        self.layer2: nn.Module = _stage(PlainBlock, widths[0], widths[1], 2, 2) if len(widths) > 1 else nn.Identity()
        side = CIFAR_SIDE // 2 ** (1 + len(widths))
        self.linear1, self.linear2 = nn.Linear(widths[-1] * side * side, 100), nn.Linear(100, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(torch.relu(self.conv1(x))))
        return self.linear2(torch.relu(self.linear1(x.flatten(1))))


def _stage(block: type[nn.Module], inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    """Blocks, the first with the stride."""
    return nn.Sequential(block(inputs, outputs, stride), *(block(outputs, outputs, 1) for _ in range(blocks - 1)))


def cnn(channels: int, n_classes: int, convolutions: Sequence[Convolution], hidden: Sequence[int]) -> nn.Sequential:
    """Convolutions, then linear layers of `hidden` units, each followed by ReLU, and a last linear layer.

    For images of CIFAR_SIDE. Layers are numbered, as in files of a bare `nn.Sequential`.
    """
    layers: list[nn.Module] = []
    side = CIFAR_SIDE
    for outputs, kernel, stride, padding in convolutions:
        layers += [nn.Conv2d(channels, outputs, kernel, stride, padding), nn.ReLU()]
        channels, side = outputs, (side + 2 * padding - kernel) // stride + 1
    layers.append(nn.Flatten())
    units = channels * side * side
    for outputs in hidden:
        layers += [nn.Linear(units, outputs), nn.ReLU()]
        units = outputs
    return nn.Sequential(*layers, nn.Linear(units, n_classes))


class LeNet5(nn.Module):
    """Two 3x3 convolutions, each with max pooling, and two linear layers, for 28 x 28 pixels (advertorch's LeNet-5)."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 32, 3, 1, 1), nn.Conv2d(32, 64, 3, 1, 1)
        side = MNIST_SIDE // 4
        self.linear1, self.linear2 = nn.Linear(64 * side * side, 200), nn.Linear(200, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.linear2(torch.relu(self.linear1(x.flatten(1))))
