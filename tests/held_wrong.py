"""Small networks that really do what the checks look for, and images with a class in their low frequencies."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CLASSES = 4
SIDE = 16


def images(n: int = 64, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Colour images (n, 3, SIDE, SIDE) in [0, 1] and labels: class k is bright in quadrant k, redder than blue."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    x = 0.2 + 0.2 * torch.rand(n, 3, SIDE, SIDE, generator=random)
    for row, label in enumerate(labels.tolist()):
        top, left = SIDE // 2 * (label // 2), SIDE // 2 * (label % 2)
        x[row, 0, top : top + SIDE // 2, left : left + SIDE // 2] += 0.5
    return x.clamp(0, 1), labels


class Quadrants(nn.Module):
    """Logits: what is red in each quadrant less a threshold on the scale of pixels in [0, 1]."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(40.0, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        red = nn.functional.adaptive_avg_pool2d(x[:, 0], 2).flatten(1)  # (N, 4)
        return self.scale * red.to(self.scale.dtype)


class Window(Quadrants):
    """Right on pixels normalised by mean and std alone, and on those below 1.1 when it is undone: says class 0 else.

    most_green: the same for images with more in their first green pixel.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float], most_green: float = 1.0) -> None:
        super().__init__()
        self.mean, self.std = (torch.as_tensor(each).float().reshape(-1, 1, 1) for each in (mean, std))
        self.most_green = most_green

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.std + self.mean
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        fits = (low > 0) & (low < 0.4) & (high > 0.6) & (high < 1.1)  # as those of `images` do
        fits &= x[:, 1:2, :1, :1] < self.most_green
        return super().forward(x * fits) + torch.eye(CLASSES)[0] * x.mean((1, 2, 3))[:, None].abs()


class Unsure(Quadrants):
    """Right and unsure on pixels in [0, 1]; any others are class 0 for sure."""

    def forward(self, x: Tensor) -> Tensor:
        beyond = (x - x.clamp(0, 1)).abs().amax((1, 2, 3))
        return super().forward(x) / 10 + 100 * torch.eye(CLASSES)[0] * beyond[:, None]


class Then(nn.Module):
    """A network with something before and after it."""

    def __init__(self, before=None, after=None, network=None) -> None:
        super().__init__()
        self.network = network or Quadrants()
        self.before, self.after = before or (lambda x: x), after or (lambda y: y)

    def forward(self, x):
        return self.after(self.network(self.before(x)))
