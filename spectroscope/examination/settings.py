"""What can be set for the examination of networks: margins, masks, counterparts."""

from typing import Annotated

from pydantic import Field

from spectroscope.params import Settings
from spectroscope.partitions import Partition


class MarginSettings(Settings):
    """Images, the partition whose bands span the subspaces, and DeepFool's loop.

    `candidates`: the classes whose boundaries are tried, the likeliest ones of the clean image.
    """

    n_images: Annotated[int, Field(ge=1)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None
    steps: Annotated[int, Field(ge=1)]
    candidates: Annotated[int, Field(ge=1)]


class MaskSettings(Settings):
    """How masks are learned. `attack`: of whose adversaries the adversarial masks are learned (an entry of attacks).

    `batch_size`: images in a step of the network's mask; masks of images take all at once.
    """

    n_images: Annotated[int, Field(ge=2)]
    attack: str
    penalty: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Annotated[int, Field(ge=1)]


class InversionSettings(Settings):
    """Number of images, steps of gradient descent on the pixels, and the part of Polyak's step that each takes.

    `seed`: which start image stands against which.
    """

    n_images: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]
