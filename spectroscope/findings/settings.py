"""Settings of the findings."""

from typing import Annotated

from pydantic import Field

from spectroscope.pipeline.params import Settings


class Usual(Settings):
    """How accurate networks usually are on this data set, and the source of that figure."""

    accuracy: Annotated[float, Field(gt=0, le=1)]
    source: str


class FindingsSettings(Settings):
    """`reference`: the run that every other run is compared with. `attack`: the attack of the headline accuracy.

    `usual`: what the clean accuracy of the reference is held against, null where no figure is known. `floor`: the clean
    accuracy of the reference below which the networks are too weak to stand for others; null where no figure is known.
    """

    reference: str
    attack: str
    usual: Usual | None
    floor: Annotated[float, Field(gt=0, le=1)] | None
