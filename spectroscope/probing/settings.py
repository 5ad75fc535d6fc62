"""What can be set for the examination of networks: margins, masks, counterparts."""

from typing import Annotated

from pydantic import Field

from spectroscope.attribution.margins import MarginSearchSettings
from spectroscope.attribution.masks import MaskLearningSettings
from spectroscope.frequency.partitions import Partition
from spectroscope.pipeline.params import Settings


class MarginSettings(MarginSearchSettings):
    """Images, the partition whose bands span the subspaces, and the search."""

    n_images: Annotated[int, Field(ge=1)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None


class MaskSettings(MaskLearningSettings):
    """How masks are learned. `attack`: of whose adversaries the adversarial masks are learned (an entry of attacks).

    `batch_size`: images in a step of the network's mask; masks of images take all at once.
    """

    n_images: Annotated[int, Field(ge=2)]
    attack: str
    batch_size: Annotated[int, Field(ge=1)]


class CounterpartSettings(Settings):
    """Number of images, steps of gradient descent on the pixels, and the part of Polyak's step that each takes.

    `seed`: which start image stands against which.
    """

    n_images: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]


class ProbingSettings(Settings):
    """What is asked of every network."""

    margins: MarginSettings
    masks: MaskSettings
    counterparts: CounterpartSettings
