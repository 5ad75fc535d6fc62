"""What training and test images become for one entry of `bands`: a filtered copy, or one whose labels tell nothing."""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field

from spectroscope.frequency.passbands import FullBand, PassBand, band_filter, check_bands
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings


class PermutedLabels(Settings):
    """Every coefficient; in training the labels are permuted among the images, so that there is nothing to learn.

    What a measure still says of a network trained on them is not the label's (data randomisation test of Adebayo et al.
    2018). Test images keep their labels.
    """

    keep: Literal["permuted"]
    seed: Annotated[int, Field(ge=0)]


BandFile = Annotated[FullBand | PassBand | PermutedLabels, Field(discriminator="keep")]


def banded(images: Images, band: FullBand | PassBand | PermutedLabels, training: bool) -> Images:
    """The images as the band leaves them: pixels filtered, or labels permuted where they are for training."""
    if isinstance(band, PermutedLabels):
        order = torch.randperm(len(images), generator=generator(band.seed))
        return replace(images, labels=images.labels[order]) if training else images
    return replace(images, pixels=band_filter(images.pixels, band))


def check(bands: dict[str, FullBand | PassBand | PermutedLabels], height: int, width: int) -> None:
    """ValueError when a band keeps nothing or two would give the same pixels by filtering."""
    check_bands({name: band for name, band in bands.items() if not isinstance(band, PermutedLabels)}, height, width)
