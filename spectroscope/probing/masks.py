"""Learned masks on the spectrum, by shell: what a network needs, what an image's class needs, and what fools."""

from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn

from spectroscope.attribution.masks import MaskLearningSettings, image_masks, network_mask
from spectroscope.pipeline import machine
from spectroscope.probing.shells import replicates, shell_means, shell_table
from spectroscope.statistics.bootstrap import StatisticsSettings

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


def mask_table(masks: dict[str, np.ndarray], n_images: int, statistics: StatisticsSettings) -> pd.DataFrame:
    """mask, shell, mean, low, high, n_images, n_seeds; masks: (seeds, images, shells) for each of MASKS."""
    means = {name: replicates(masks[name], statistics) for name in MASKS}
    counts = {name: int(np.isfinite(masks[name]).all(2).any(0).sum()) for name in MASKS}
    return shell_table("mask", means, counts | {"network": n_images}, len(masks["network"]), statistics)
