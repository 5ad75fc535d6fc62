"""The nearest adversary among the iterates of an attack that minimises the norm."""

import torch
from torch import Tensor

from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms


def keep_nearest(
    x: Tensor, change: Tensor, norm: Norm, fooled: Tensor, nearest: Tensor, distance: Tensor
) -> tuple[Tensor, Tensor]:
    """The nearest adversaries so far (N, C, H, W) and their norms (N,), updated with the iterate x + change.

    fooled: (N,), whether the iterate is an adversary. The distance of an image without an adversary is infinite.
    """
    length = norms(change, norm)
    better = fooled & (length < distance)
    return torch.where(balls.each(better), x + change, nearest), torch.where(better, length, distance)
