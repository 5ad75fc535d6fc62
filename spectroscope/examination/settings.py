"""What can be set for the examination of networks: margins, masks, counterparts."""

from typing import Annotated

from pydantic import Field

from spectroscope.masks import Learning
from spectroscope.params import Settings
from spectroscope.partitions import Partition
from spectroscope.subspaces import Search


class MarginSettings(Search):
    """Images, the partition whose bands span the subspaces, and the search."""

    n_images: Annotated[int, Field(ge=1)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None


class MaskSettings(Learning):
    """How masks are learned. `attack`: of whose adversaries the adversarial masks are learned (an entry of attacks).

    `batch_size`: images in a step of the network's mask; masks of images take all at once.
    """

    n_images: Annotated[int, Field(ge=2)]
    attack: str
    batch_size: Annotated[int, Field(ge=1)]


class InversionSettings(Settings):
    """Number of images, steps of gradient descent on the pixels, and the part of Polyak's step that each takes.

    `seed`: which start image stands against which.
    """

    n_images: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]
