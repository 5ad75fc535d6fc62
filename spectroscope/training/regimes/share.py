"""The share of the images that a transform changes."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Generator, Tensor

from spectroscope.training.hooks import Transform

Share = Annotated[float, Field(gt=0, le=1)]


def change_share(change: Transform, share: float) -> Transform:
    """A transform that applies `change` to each image with probability `share`, drawn anew in every batch."""

    def transform(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        chosen = torch.rand(len(images), 1, 1, 1, generator=generator) < share
        return torch.where(chosen.to(images.device), change(images, labels, generator), images)

    return transform
