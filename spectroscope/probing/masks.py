"""Learned masks on the spectrum, by shell: what a network needs, what an image's class needs, and what fools."""

from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from spectroscope.attribution.masks import MaskLearningSettings, image_masks, network_mask
from spectroscope.pipeline import machine
from spectroscope.probing.shells import shell_means, shell_table
from spectroscope.statistics.estimates import Estimates, StatisticsSettings, means

MASKS = ("network", "essential", "adversarial")


class MaskSettings(MaskLearningSettings):
    """Masks of the first `n_images` test images.

    `attack`: the entry of `attacks` whose adversaries the adversarial masks are learned for (its first variant).
    `batch_size`: images in a step of the network's mask; the masks of images are learned all at once.
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
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).nonzero()[:, 0]
    perturbations, outcomes = attack
    outcomes = outcomes[outcomes["success"] & (outcomes["image"] < len(images))]
    fooled, classes = (
        torch.from_numpy(outcomes[name].to_numpy(copy=True)).to(images.device) for name in ("image", "after")
    )
    adversaries = images[fooled] + perturbations[outcomes.index.to_list()].to(images.device)
    mask = network_mask(model, images, labels, settings, settings.batch_size, machine.generator(seed))
    masks = {"network": shell_means(mask[None])}
    inputs = {"essential": (right, images[right], labels[right]), "adversarial": (fooled, adversaries, classes)}
    for name, (rows, x, y) in inputs.items():
        masks[name] = torch.full((len(images), masks["network"].shape[1]), torch.nan, device=images.device)
        if len(rows):
            masks[name].index_copy_(0, rows, shell_means(image_masks(model, x, y, settings)))
    return masks


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
