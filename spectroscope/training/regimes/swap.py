"""Training on images of which a share has a band swapped with another class (Yucel et al. 2023, paired form)."""

from typing import Literal

from torch import Generator, Tensor

from spectroscope.dataset.partners import partner_of_another_class
from spectroscope.frequency.passbands import band_filter
from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.regimes.frequencies import Frequencies
from spectroscope.training.regimes.share import Share, change_share


class Swap(Settings):
    name: Literal["swap"]
    frequencies: Frequencies
    share: Share


def hooks(settings: Swap) -> TrainingHooks:
    """x - B(x) + B(x') with the label of x: B the band, x' another image of the batch.

    Yucel et al. draw any other image; here x' is one of another class, so that the band contradicts the label. An image
    without such a partner in its batch stays as it is.
    """
    band = settings.frequencies.band

    def swap_band(images: Tensor, labels: Tensor, generator: Generator) -> Tensor:
        own = band_filter(images, band)
        return images - own + own[partner_of_another_class(labels, generator)]

    return TrainingHooks(transform=change_share(swap_band, settings.share))
