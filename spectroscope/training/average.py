"""A moving average of the weights, which is evaluated and kept instead of them (Izmailov et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of weights and buffers; call `update_parameters(model)` after each step.

    The decay grows as (1 + step) / (10 + step) up to `decay`, so that the random initial weights are soon forgotten.
    """

    def update_average(averages: Sequence[Tensor], values: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        step = int(average.n_averaged)  # not the argument, a copy on the device: reading it would wait for the GPU
        for mean, value in zip(averages, values, strict=True):
            if mean.is_floating_point():
                moved = torch.lerp(mean, value, 1 - min(decay, (1 + step) / (10 + step)))
                mean.copy_(torch.where(value.isfinite(), moved, value))  # a mask's infinity less infinity is NaN
            else:
                mean.copy_(value)  # BatchNorm's count of batches

    average = AveragedModel(model, multi_avg_fn=update_average, use_buffers=True).requires_grad_(False)
    average.update_parameters(model)  # the first update copies and counts as 1: the next has the number of its step
    return average
