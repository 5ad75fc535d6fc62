"""Filtered copies of a data set, one for each entry of `bands` in params.yaml, or a copy with permuted labels."""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field

from spectroscope.frequency.passbands import FullBand, PassBand, band_filter, band_mask
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings


class PermutedLabels(Settings):
    """Whole images whose training labels are permuted with `seed`; test labels stay.

    A network trained on them learns nothing about classes: reliance found in it is not caused by the labels (data
    randomisation test of Adebayo et al. 2018).
    """

    keep: Literal["permuted"]
    seed: Seed


BandSettings = Annotated[FullBand | PassBand | PermutedLabels, Field(discriminator="keep")]


def apply_band(images: Images, band: FullBand | PassBand | PermutedLabels, training: bool) -> Images:
    """Images with filtered pixels or, if they are for training and the band permutes labels, with permuted labels."""
    if isinstance(band, PermutedLabels):
        order = torch.randperm(len(images), generator=generator(band.seed))
        return replace(images, labels=images.labels[order]) if training else images
    return replace(images, pixels=band_filter(images.pixels, band))


def check_bands(bands: dict[str, FullBand | PassBand | PermutedLabels], height: int, width: int) -> None:
    """ValueError, naming the band, when one does not fit the images or two would give the same pixels."""
    names: dict[tuple, str] = {}
    for name, band in bands.items():
        if isinstance(band, PermutedLabels):
            continue
        try:
            mask = band_mask(band, height, width)
        except ValueError as error:
            raise ValueError(f"bands.{name}: {error}") from None
        rest = mask.flatten()[1:]  # without DC, which is the mean pixel in either basis
        basis = "any" if isinstance(band, FullBand) or rest.all() or not rest.any() else band.basis
        first = names.setdefault((basis, band.clip, mask.numpy().tobytes()), name)
        if first != name:
            raise ValueError(f"bands.{name}: expected a band of its own, got the same coefficients as bands.{first}")
