"""Training with white noise on a share of the images (Gilmer et al. 2019)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.regimes.share import Share, change_share


class Gaussian(Settings):
    name: Literal["gaussian"]
    std_255: Annotated[float, Field(gt=0)]
    share: Share


def hooks(settings: Gaussian) -> TrainingHooks:
    """Images plus noise, which may leave [0, 1]; Gilmer et al. clip."""

    def add_noise(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        return images + settings.std_255 / 255 * torch.randn(images.shape, generator=generator).to(images)

    return TrainingHooks(transform=change_share(add_noise, settings.share))
