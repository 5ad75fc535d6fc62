"""Masks on the spectrum, learned: which coefficients a network can do without.

A mask M in [0, 1] multiplies the DCT coefficients of an image, in all channels at once, and is pushed to 0 by an l1
penalty wherever nothing pushes back. The penalty here is on the mean of M, so that it does not depend on image size.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.pipeline.params import Settings


class MaskLearningSettings(Settings):
    """The penalty on the mean of a mask, and Adam's steps."""

    penalty: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]


def network_mask(
    model: Callable[[Tensor], Tensor],
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
            whole = cross_entropy(model(images[rows]), labels[rows])
        masked = cross_entropy(model(idct2(spectrum[rows] * mask)), labels[rows])
        return (masked - whole).square() + settings.penalty * mask.mean()

    return _learned(images.new_ones(images.shape[-2:]), loss, settings)


def image_masks(
    model: Callable[[Tensor], Tensor], images: Tensor, classes: Tensor, settings: MaskLearningSettings
) -> Tensor:
    """One mask for each image, which keeps what speaks for its class: (N, C, H, W), (N,) -> (N, H, W) in [0, 1].

    Basile et al. 2025: minimises CE(masked image, class) + penalty |M|. With clean images and their labels the masks
    are essential: what suffices to be right. With adversaries and the classes they are taken for they are adversarial:
    what suffices to fool. No image's mask depends on its batch mates.
    """
    spectrum = dct2(images)

    def loss(masks: Tensor) -> Tensor:
        logits = model(idct2(spectrum * masks[:, None]))
        return cross_entropy(logits, classes, reduction="sum") + settings.penalty * masks.mean((1, 2)).sum()

    return _learned(images.new_ones(len(images), *images.shape[-2:]), loss, settings)


def _learned(start: Tensor, loss: Callable[[Tensor], Tensor], settings: MaskLearningSettings) -> Tensor:
    mask = start.clone().requires_grad_()
    search = torch.optim.Adam([mask], lr=settings.learning_rate)
    for _ in range(settings.steps):
        (mask.grad,) = torch.autograd.grad(loss(mask), mask)
        search.step()
        with torch.no_grad():
            mask.clamp_(0, 1)
    return mask.detach()
