"""What can be set for attacks confined to frequencies, and for the controls. Each band, each kind is a variant."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spectroscope.attacks.sizes import Count, InL2, InLinf, StepsInL2, StepsInLinf, Target
from spectroscope.frequency.passbands import FullBand, PassBand
from spectroscope.pipeline.params import Settings

Index = Annotated[int, Field(ge=0)]


class Lowest(Settings):
    """The DCT coefficients of the lowest `ratio` of rows and of columns (Guo, Frank & Weinberger 2019)."""

    keep: Literal["lowest"]
    ratio: Annotated[float, Field(gt=0, le=1)]


def _unclipped(band: FullBand | PassBand | Lowest) -> FullBand | PassBand | Lowest:
    if getattr(band, "clip", False):
        raise ValueError(
            "expected clip false in the band of an attack, whose perturbation has negative values; got true"
        )
    return band


AttackedBand = Annotated[
    Annotated[FullBand | PassBand | Lowest, Field(discriminator="keep")], AfterValidator(_unclipped)
]


class _Confined(Settings):
    """Projected steps inside one band along the gradient's sign, along it at norm 1, or along it as it is."""

    method: Literal["confined"]
    n_images: Count
    target: Target
    bands: Annotated[dict[str, AttackedBand], Field(min_length=1)]
    direction: Literal["sign", "l2", "raw"]
    steps: Count
    random_start: bool


class ConfinedLinf(StepsInLinf, _Confined):
    """PGD inside a band and an l-inf ball."""


class ConfinedL2(StepsInL2, _Confined):
    """PGD inside a band and an l2 ball."""


class _Fourier(Settings):
    """One Fourier direction for all images (Tsuzuku & Sato 2019): frequencies in cycles per image side."""

    method: Literal["fourier"]
    n_images: Count
    row: Index
    column: Index


class FourierLinf(InLinf, _Fourier):
    """A Fourier direction of one l-inf norm."""


class FourierL2(InL2, _Fourier):
    """A Fourier direction of one l2 norm."""


class _Noise(Settings):
    """Controls of exactly the norm given, after the clip to [0, 1]."""

    method: Literal["noise"]
    n_images: Count
    kinds: Annotated[list[Literal["gaussian", "uniform", "sign", "pink", "other_image"]], Field(min_length=1)]


class NoiseLinf(InLinf, _Noise):
    """Controls of one l-inf norm."""


class NoiseL2(InL2, _Noise):
    """Controls of one l2 norm."""


Confined = Annotated[ConfinedLinf | ConfinedL2, Field(discriminator="norm")]
Fourier = Annotated[FourierLinf | FourierL2, Field(discriminator="norm")]
Noise = Annotated[NoiseLinf | NoiseL2, Field(discriminator="norm")]
