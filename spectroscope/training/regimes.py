"""What a network is trained against or on: the settings of each regime, one class for each `name`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from spectroscope.frequency.passbands import PassBand
from spectroscope.frequency.spectrum import Basis, Shape
from spectroscope.models.loading import Rename
from spectroscope.pipeline.params import Settings

Share = Annotated[float, Field(gt=0, le=1)]


class Frequencies(Settings):
    """The shells low <= shell < high, as fractions of their number (the high half: low 0.5, high 1)."""

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
        """The same as a band of images, not clipped."""
        edges = {"low": self.low, "high": self.high}
        return PassBand(keep="inside", basis=self.basis, shape=self.shape, unit="fraction", clip=False, **edges)


class Standard(Settings):
    """Clean images alone."""

    name: Literal["standard"]


class AdversarialLinf(Settings):
    """PGD in an l-inf ball; sizes in units of 1/255."""

    name: Literal["adversarial"]
    norm: Literal["linf"]
    eps_255: Annotated[float, Field(gt=0, le=255)]
    step_255: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


class AdversarialL2(Settings):
    """PGD in an l2 ball; sizes in pixel units, the image in [0, 1]."""

    name: Literal["adversarial"]
    norm: Literal["l2"]
    eps: Annotated[float, Field(gt=0)]
    step_size: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


Adversarial = Annotated[AdversarialLinf | AdversarialL2, Field(discriminator="norm")]


class Confined(Settings):
    """PGD whose perturbation lies in these frequencies."""

    name: Literal["confined"]
    frequencies: Frequencies
    adversary: Adversarial


class Trades(Settings):
    """Clean images, plus `beta` times the divergence of the predictions on and around them (Zhang et al. 2019)."""

    name: Literal["trades"]
    beta: Annotated[float, Field(gt=0)]
    adversary: Adversarial

    @field_validator("adversary")
    @classmethod
    def _starts_off_the_image(cls, adversary: Adversarial) -> Adversarial:
        if not adversary.random_start:
            raise ValueError("expected random_start true, got false: on the image itself the divergence has no slope")
        return adversary


class Gaussian(Settings):
    """White noise of this standard deviation, in 1/255, added to a share of the images; not clipped."""

    name: Literal["gaussian"]
    std_255: Annotated[float, Field(gt=0)]
    share: Share


class Filtered(Settings):
    """A share of the images reduced to these frequencies: a low pass, a high pass, a band."""

    name: Literal["filtered"]
    frequencies: Frequencies
    share: Share


class Swap(Settings):
    """A share of the images takes these frequencies from an image of another class and keeps its own label."""

    name: Literal["swap"]
    frequencies: Frequencies
    share: Share


class GradientPenalty(Settings):
    """`weight` times the power of the loss's input gradient in these frequencies is added to the loss."""

    name: Literal["gradient_penalty"]
    frequencies: Frequencies
    weight: Annotated[float, Field(gt=0)]


class Pretrained(Settings):
    """Nothing is trained: the weights were made elsewhere, one file for each seed, or come with your own function.

    `entry`: where in a .pt the weights lie, null at the top. `keys`: whose names they have, or rules, used in turn.
    `mean`, `std`: normalisation by channel, null where the file has it or the network takes plain pixels.
    `least_accuracy`: less on held-out images is an error.
    """

    name: Literal["pretrained"]
    weights: Annotated[list[str], Field(min_length=1)] | None
    entry: str | None
    keys: Literal["own", "plain", "madry"] | list[Rename]
    mean: list[float] | None
    std: list[Annotated[float, Field(gt=0)]] | None
    least_accuracy: Annotated[float, Field(gt=0, lt=1)]


Regime = Annotated[
    Standard | Adversarial | Confined | Trades | Gaussian | Filtered | Swap | GradientPenalty | Pretrained,
    Field(discriminator="name"),
]
