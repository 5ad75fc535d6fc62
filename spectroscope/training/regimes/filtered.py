"""Training on images of which a share is low-, high- or band-pass filtered (Wang H. et al. 2020; Yin et al. 2019)."""

from typing import Literal

from torch import Generator, Tensor

from spectroscope.frequency.passbands import band_filter
from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.regimes.frequencies import Frequencies
from spectroscope.training.regimes.share import Share, change_share


class Filtered(Settings):
    name: Literal["filtered"]
    frequencies: Frequencies
    share: Share


def hooks(settings: Filtered) -> TrainingHooks:
    """Images restricted to the band, not clipped: without DC their pixels lie around 0."""
    band = settings.frequencies.band

    def keep_band(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        return band_filter(images, band)

    return TrainingHooks(transform=change_share(keep_band, settings.share))
