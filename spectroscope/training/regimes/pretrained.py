"""No training: weights from a file, or from the function that returns the network."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.models.loading import Rename
from spectroscope.pipeline.params import Settings


class Pretrained(Settings):
    """`weights`: one file for each seed; null if the network comes with its weights.

    `entry`: key of the weights in a .pt file, null if they are at its top. `keys`: naming scheme of the tensors, or
    rules, applied in turn. `mean`, `std`: normalisation by channel; null if the file holds it or the network takes
    pixels in [0, 1]. `least_accuracy`: a lower held-out accuracy is an error.
    """

    name: Literal["pretrained"]
    weights: Annotated[list[str], Field(min_length=1)] | None
    entry: str | None
    keys: Literal["own", "plain", "madry"] | list[Rename]
    mean: list[float] | None
    std: list[Annotated[float, Field(gt=0)]] | None
    least_accuracy: Annotated[float, Field(gt=0, lt=1)]
