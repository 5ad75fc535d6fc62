"""The nearest adversary among the iterates of an attack that minimises the norm."""

import torch
from pydantic import model_validator
from torch import Tensor

from spectroscope.attacks.sizes import Count, Target, Unbounded
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm, norms


class NearestOfTargets(Unbounded):
    """A search for the nearest of several classes (`n_targets`), or for one that `target` chooses, or for any."""

    target: Target
    n_targets: Count | None

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> "NearestOfTargets":
        if self.target is not None and self.n_targets is not None:
            raise ValueError(f"expected n_targets null where target is {self.target}, got {self.n_targets}")
        return self


def keep_nearest(
    x: Tensor, change: Tensor, norm: Norm, fooled: Tensor, nearest: Tensor, distance: Tensor
) -> tuple[Tensor, Tensor]:
    """The nearest adversaries so far (N, C, H, W) and their norms (N,), updated with the iterate x + change.

    fooled: (N,), whether the iterate is an adversary. The distance of an image without an adversary is infinite.
    """
    length = norms(change, norm)
    better = fooled & (length < distance)
    return torch.where(balls.each(better), x + change, nearest), torch.where(better, length, distance)
