"""Sanity: does an attribution change when the network's weights are shuffled?

Adebayo et al. 2018: an attribution that stays the same has not looked at the weights.
"""

import copy
from dataclasses import replace
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field
from torch import nn

from spectroscope.attribution.compare import value_rows
from spectroscope.attribution.registry import MethodSettings, attribute
from spectroscope.attribution.task import Task
from spectroscope.pipeline.params import Settings


class SanitySettings(Settings):
    """Attributions with shuffled weights; shares: of the network's layers, counted from the last one."""

    n_images: Annotated[int, Field(ge=2)]
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


def shuffled_attributions(task: Task, methods: dict[str, MethodSettings], settings: SanitySettings) -> pd.DataFrame:
    """Every method on the first images, with weights shuffled in each share of the layers.

    Rows: band_0, ..., image, error, method, shuffled (`weights`), share. ValueError for a model that is no module.
    """
    if not isinstance(task.model, nn.Module):
        raise ValueError(f"expected a torch module, whose weights can be shuffled, got {type(task.model).__name__}")
    rows = []
    for share in settings.shares:
        model = shuffled(task.model, share, task.generator("shuffled_weights"))
        images, labels = task.images[: settings.n_images], task.labels[: settings.n_images]
        of_shuffled = replace(task, model=model, images=images, labels=labels)
        for name, method in methods.items():
            values = value_rows(attribute(of_shuffled, method))
            rows.append(values.assign(method=name, shuffled="weights", share=share))
    return pd.concat(rows)


def shuffled(model: nn.Module, share: float, generator: torch.Generator) -> nn.Module:
    """A copy with weights and biases permuted within each layer, for this share of the layers, the last ones."""
    other = copy.deepcopy(model)
    layers = [module for module in other.modules() if next(module.parameters(recurse=False), None) is not None]
    for layer in layers[len(layers) - max(1, round(share * len(layers))) :]:
        for weight in layer.parameters(recurse=False):
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.data = weight.data.flatten()[order].view(weight.shape).contiguous()
    return other
