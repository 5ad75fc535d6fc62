"""Sanity: does an attribution change when the network's weights are shuffled?

Adebayo et al. 2018: an attribution that stays the same has not looked at the weights. A method that draws at random
differs from itself, so each is also repeated with other draws and nothing shuffled: that is its ceiling.
"""

from dataclasses import replace
from typing import Annotated

import pandas as pd
import torch
from pydantic import Field
from torch import nn

from spectroscope.attribution.compare import value_rows
from spectroscope.attribution.registry import MethodSettings, attribute
from spectroscope.attribution.shuffling import shuffled
from spectroscope.attribution.task import Task
from spectroscope.pipeline.params import Distinct, Settings


class SanitySettings(Settings):
    """Attributions of the first n_images with shuffled weights; shares: of the layers, counted from the last one."""

    n_images: Annotated[int, Field(ge=2)]
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1), Distinct]


def repeated_attributions(task: Task, methods: dict[str, MethodSettings], settings: SanitySettings) -> pd.DataFrame:
    """Every method on the first images: as it is, with other draws, and with shuffled weights.

    Rows: band_0, ..., image, error, beyond, method, shuffled, share (of the layers). shuffled: `before` (the network as
    it is, on these images and draws), `nothing` (the same network, images and settings with other random draws: the
    control, which for a method without draws equals `before`), `weights` (images and draws of `before`). ValueError for
    a model that is no module.
    """
    if not isinstance(task.model, nn.Module):
        raise ValueError(f"expected a torch module, whose weights can be shuffled, got {type(task.model).__name__}")
    before = replace(task, images=task.images[: settings.n_images], labels=task.labels[: settings.n_images])
    repeats = [("before", 0.0, before), ("nothing", 0.0, replace(before, seed=_other_seed(task)))]
    for share in settings.shares:
        model = shuffled(task.model, share, task.generator("shuffled_weights"))
        repeats.append(("weights", share, replace(before, model=model)))
    rows = []
    for kind, share, repeat in repeats:
        for name, method in methods.items():
            rows.append(value_rows(attribute(repeat, method)).assign(method=name, shuffled=kind, share=share))
    return pd.concat(rows)


def _other_seed(task: Task) -> int:
    """A seed that no network has: networks have small ones."""
    return int(torch.randint(2**40, 2**62, (), generator=task.generator("other_draws")))
