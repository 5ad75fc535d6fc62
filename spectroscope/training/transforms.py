"""What is done to a batch of training images before any adversary: (images, labels, generator) -> images.

Each image is changed with probability `share`, drawn from the generator; labels stay as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.dataset.partners import partner_of_another_class
from spectroscope.frequency.passbands import PassBand, band_filter

Transform = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def filtered(band: PassBand, share: float) -> Transform:
    """Images reduced to a band (Wang H. et al. 2020 and Yin et al. 2019 train on such); without DC they go below 0."""

    def transform(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return torch.where(_drawn(images, share, generator), band_filter(images, band), images)

    return transform


def gaussian(std: float, share: float) -> Transform:
    """Images plus white noise, which may leave [0, 1] (Gilmer et al. 2019, without their clipping)."""

    def transform(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        chosen = _drawn(images, share, generator)
        noise = std * torch.randn(images.shape, generator=generator).to(images)
        return torch.where(chosen, images + noise, images)

    return transform


def swap(band: PassBand, share: float) -> Transform:
    """Each image with the band of another one of the batch in place of its own (Yucel et al. 2023, paired form).

    They draw any other image; here it is one of another class, so that the band contradicts the label. An image
    without such a partner in its batch stays as it is.
    """

    def transform(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        chosen, own = _drawn(images, share, generator), band_filter(images, band)
        partner = partner_of_another_class(labels, generator)
        return torch.where(chosen, images - own + own[partner], images)

    return transform


def _drawn(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """True for each image with probability `share`: (N, 1, 1, 1)."""
    return (torch.rand(len(images), 1, 1, 1, generator=generator) < share).to(images.device)
