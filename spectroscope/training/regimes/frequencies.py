"""The frequencies that a regime acts on."""

from typing import Annotated

from pydantic import Field, model_validator

from spectroscope.frequency.passbands import PassBand
from spectroscope.frequency.spectrum import Basis, Shape
from spectroscope.pipeline.params import Settings


class Frequencies(Settings):
    """The shells from `low` up to but without `high`, as fractions of their number (the upper half: 0.5 and 1)."""

    basis: Basis
    shape: Shape
    low: Annotated[float, Field(ge=0, lt=1)]
    high: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _some_but_not_all(self) -> "Frequencies":
        if self.low >= self.high:
            raise ValueError(f"expected low < high, got low {self.low:g} and high {self.high:g}")
        if self.low == 0 and self.high == 1:
            raise ValueError("expected a part of the frequencies, got all of them: low 0 and high 1")
        return self

    @property
    def band(self) -> PassBand:
        """The pass band of these shells; filtered images are not clipped to [0, 1]."""
        edges = {"low": self.low, "high": self.high}
        return PassBand(keep="inside", basis=self.basis, shape=self.shape, unit="fraction", clip=False, **edges)
