"""No training: weights from a file, or from the function that returns the network."""

from typing import Literal

from spectroscope.models.loading import WeightsFiles


class Pretrained(WeightsFiles):
    """A network for each file; with `weights` null the one that comes with its weights."""

    name: Literal["pretrained"]
