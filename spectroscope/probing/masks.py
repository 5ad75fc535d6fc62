"""Learned masks on the spectrum, by shell: what a network needs, what an image's class needs, and what fools."""

from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from spectroscope.attribution.masks import MaskLearningSettings, image_masks, network_mask
from spectroscope.models import inference
from spectroscope.pipeline import machine, memory, passes
from spectroscope.probing.shells import shell_means, shell_table
from spectroscope.statistics.estimates import Estimates, StatisticsSettings, means

MASKS = ("network", "essential", "adversarial")


class MaskSettings(MaskLearningSettings):
    """Masks of the first `n_images` test images.

    `attack`: the entry of `attacks` whose adversaries the adversarial masks are learned for (its first variant).
    `batch_size`: images in a step of the network's mask; an image's own mask does not depend on other images.
    """

    n_images: Annotated[int, Field(ge=2)]
    attack: str
    batch_size: Annotated[int, Field(ge=1)]


def masks_by_shell(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attack: tuple[Tensor, pd.DataFrame],
    seed: int,
    settings: MaskSettings,
) -> dict[str, Tensor]:
    """Shell means of the masks of one network, for each of MASKS: (1, shells), then (n_images, shells) twice.

    attack: perturbations of all networks, with their rows for this one. Essential masks exist for images that are
    classified right, adversarial ones for those that the attack fooled; the rows of other images are NaN.
    """
    images, labels = images[: settings.n_images], labels[: settings.n_images]
    right = (inference.predict(model, images).to(labels.device) == labels).nonzero()[:, 0]
    perturbations, outcomes = attack
    outcomes = outcomes[outcomes["success"] & (outcomes["image"] < len(images))]
    fooled, classes = (
        torch.from_numpy(outcomes[name].to_numpy(copy=True)).to(images.device) for name in ("image", "after")
    )
    adversaries = images[fooled] + perturbations[outcomes.index.to_list()].to(images.device)
    with memory.at_once("probing.masks.batch_size", settings.batch_size):
        mask = network_mask(model, images, labels, settings, settings.batch_size, machine.generator(seed))
    masks = {"network": shell_means(mask[None])}
    inputs = {"essential": (right, images[right], labels[right]), "adversarial": (fooled, adversaries, classes)}
    for name, (rows, x, y) in inputs.items():
        masks[name] = torch.full((len(images), masks["network"].shape[1]), torch.nan, device=images.device)
        if len(rows):
            (own,) = passes.in_passes(model, x, partial(_own_masks, model, x, y, settings))
            masks[name].index_copy_(0, rows, shell_means(own))
    return masks


def _own_masks(model: nn.Module, x: Tensor, y: Tensor, settings: MaskSettings, rows: slice) -> tuple[Tensor]:
    return (image_masks(model, x[rows], y[rows], settings),)


def mask_table(
    masks: dict[str, np.ndarray], n_images: int, clusters: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """mask, over, shell, then SUMMARY; masks: (seeds, images, shells) for each of MASKS, clusters (n_images,).

    over: what the intervals are over, `networks and images` or, for the one mask of each network, `networks` alone: of
    a single network it has none.
    """
    found = {name: means(masks[name], clusters, bounds=(0, 1)) for name in MASKS if name != "network"}
    table = shell_table("mask", {"network": _over_networks(masks["network"], n_images)} | found, statistics)
    table.insert(1, "over", np.where(table["mask"] == "network", "networks", "networks and images"))
    return table


def _over_networks(values: np.ndarray, n_images: int) -> Estimates:
    """Estimates of one row for each network (S, 1, K): the same for every group of images, which thus add no variance.

    A single network has no variance to go by: its pseudo-values are NaN, and it has no interval.
    """
    by_network = values[:, 0]
    cells = np.repeat(values, 2, axis=1) if len(values) > 1 else np.full((1, 2, values.shape[2]), np.nan)
    return Estimates(by_network, cells, n_images, bounds=(0, 1))
