"""No training: weights from a file, or from the function that returns the network."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from spectroscope.pipeline.params import Settings


class Rename(Settings):
    """A rule for names of tensors: replace what matches `pattern` by `to`, or drop the tensor if `to` is null."""

    pattern: str
    to: str | None

    @field_validator("pattern")
    @classmethod
    def _is_regular_expression(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"expected a regular expression, got {pattern!r} ({error})") from None
        return pattern


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
