"""Settings of the checks of attribution methods."""

from typing import Annotated

from pydantic import Field, field_validator

from spectroscope.attribution.settings import Baseline, Score
from spectroscope.frequency.partitions import Partition
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline.params import Settings


class Faithfulness(Settings):
    """Deletion and insertion curves; fractions: how much of all coefficients is gone (or there) at each step."""

    fractions: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2)]

    @field_validator("fractions")
    @classmethod
    def _rise(cls, fractions: list[float]) -> list[float]:
        if fractions != sorted(set(fractions)) or (fractions[0], fractions[-1]) != (0, 1):
            raise ValueError(f"expected fractions that rise from 0 to 1, got {fractions}")
        return fractions


class Sanity(Settings):
    """The measures once more with weights shuffled, in these shares of the layers from the last one on."""

    n_images: Annotated[int, Field(ge=2)]
    shares: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


class Multiverse(Settings):
    """Occluded Frequency in every combination of these choices, on the first n_images of those compared."""

    n_images: Annotated[int, Field(ge=2)]
    bases: Annotated[list[Basis], Field(min_length=1)]
    shapes: Annotated[list[Partition], Field(min_length=1)]
    baselines: Annotated[list[Baseline], Field(min_length=1)]
    scores: Annotated[list[Score], Field(min_length=1)]
    clips: Annotated[list[bool], Field(min_length=1)]


class ValidationSettings(Settings):
    """Checks of the attribution methods; null leaves one out."""

    faithfulness: Faithfulness | None
    sanity: Sanity | None
    multiverse: Multiverse | None
