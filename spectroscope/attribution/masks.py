"""Learned masks on the spectrum: which coefficients a network can do without.

A mask M in [0, 1] multiplies the DCT coefficients of an image, in all channels at once. An l1 penalty pushes it to 0
wherever the loss does not hold it up. The penalty is on the mean of M, so that it does not depend on image size.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from spectroscope.attribution.inputs import Model
from spectroscope.attribution.task import Attribution, Task, averaged_by_band, require_dct
from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.pipeline.params import Settings


class MaskLearningSettings(Settings):
    """Weight of the penalty on the mean of a mask; steps and learning rate of Adam."""

    penalty: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]


def network_mask(
    model: Model,
    images: Tensor,
    labels: Tensor,
    settings: MaskLearningSettings,
    batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """One mask for a network: images (N, C, H, W) -> (H, W) in [0, 1].

    Karantzas et al. 2022: minimises (CE of masked images - CE of the images)^2 + penalty |M|, over random batches, from
    M = 1, by Adam, M kept in [0, 1].
    """
    spectrum = dct2(images)

    def loss(mask: Tensor) -> Tensor:
        rows = torch.randperm(len(images), generator=generator)[:batch_size].to(images.device)
        with torch.no_grad():
            clean = cross_entropy(model(images[rows]), labels[rows])
        masked = cross_entropy(model(idct2(spectrum[rows] * mask)), labels[rows])
        return (masked - clean).square() + settings.penalty * mask.mean()

    return _minimise(loss, images.new_ones(images.shape[-2:]), settings)


def image_masks(model: Model, images: Tensor, classes: Tensor, settings: MaskLearningSettings) -> Tensor:
    """One mask for each image, which keeps the evidence for its class: (N, C, H, W), (N,) -> (N, H, W) in [0, 1].

    Basile et al. 2025: minimises CE(masked image, class) + penalty |M|. Masks of clean images and their labels are
    essential: they show which coefficients suffice for the label. Masks of adversaries and the classes these are taken
    for are adversarial: they show which coefficients suffice to fool. Images do not influence each other's masks.
    """
    spectrum = dct2(images)

    def loss(masks: Tensor) -> Tensor:
        logits = model(idct2(spectrum * masks[:, None]))
        return cross_entropy(logits, classes, reduction="sum") + settings.penalty * masks.mean((1, 2)).sum()

    return _minimise(loss, images.new_ones(len(images), *images.shape[-2:]), settings)


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor, settings: MaskLearningSettings) -> Tensor:
    mask = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([mask], lr=settings.learning_rate)
    for _ in range(settings.steps):
        (mask.grad,) = torch.autograd.grad(loss(mask), mask)
        optimizer.step()
        with torch.no_grad():
            mask.clamp_(0, 1)
    return mask.detach()


class LearnedMaskSettings(MaskLearningSettings):
    """Essential masks: how much of the band suffices for the label."""

    method: Literal["learned_mask"]


def learned_mask(task: Task, settings: LearnedMaskSettings) -> Attribution:
    """Mean of each image's essential mask over the band; ValueError in another basis than the DCT."""
    require_dct(task, settings.method)
    chunks = zip(task.images.split(task.chunk), task.labels.split(task.chunk), strict=True)
    return averaged_by_band(torch.cat([image_masks(task.model, x, y, settings) for x, y in chunks]), task.index)
