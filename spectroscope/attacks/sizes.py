"""Sizes of perturbations as settings give them, and the ball they make.

Sizes in the l-inf norm are in 1/255 units (`eps_255`), other sizes in units of pixels in [0, 1] (`eps`). Where a radius
is of type `Sizes`, an entry may list several, and each is an attack of its own.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Step = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sizes = Annotated[
    Annotated[Size, Tag("one")] | Annotated[list[Size], Tag("several"), Field(min_length=1)],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
]
Target = Literal["runner_up", "least_likely"] | None


class InLinf(Settings):
    """Perturbations in an l-inf ball."""

    norm: Literal["linf"]
    eps_255: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("linf", self.eps_255 / 255)


class InL2(Settings):
    """Perturbations in an l2 ball."""

    norm: Literal["l2"]
    eps: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("l2", self.eps)


class StepsInLinf(InLinf):
    """Steps in an l-inf ball."""

    step_255: Step

    @property
    def step_size(self) -> float:
        return self.step_255 / 255


class StepsInL2(InL2):
    """Steps in an l2 ball."""

    step_size: Step
