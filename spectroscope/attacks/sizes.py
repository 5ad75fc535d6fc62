"""Settings that attacks share: counts, targets, radii, step sizes, and the ball that a radius gives.

Sizes in the l-inf norm are in 1/255 units (`eps_255`), other sizes in units of pixels in [0, 1] (`eps`). A radius of
type `Sizes` may be a list: each of its values is then an attack of its own.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Distinct, Settings

Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Step = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Sizes = Annotated[
    Annotated[Size, Tag("one")] | Annotated[list[Size], Field(min_length=1), Distinct, Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
]
Target = Literal["runner_up", "least_likely"] | None


def single(radius: float | list[float]) -> float:
    """The radius of an attack; ValueError for a list, which `registry.expand_variants` splits into attacks."""
    if isinstance(radius, list):
        raise ValueError(f"expected one radius, got {radius}")
    return radius


class Unbounded(Settings):
    """No ball: the attack looks for the smallest perturbation."""

    @property
    def ball(self) -> None:
        return None


class InLinf(Settings):
    """An l-inf ball of perturbations."""

    norm: Literal["linf"]
    eps_255: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("linf", single(self.eps_255) / 255)


class InL2(Settings):
    """An l2 ball of perturbations."""

    norm: Literal["l2"]
    eps: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("l2", single(self.eps))


class StepsInLinf(InLinf):
    """An l-inf ball and the size of a step in it."""

    step_255: Step

    @property
    def step_size(self) -> float:
        return self.step_255 / 255


class StepsInL2(InL2):
    """An l2 ball and the size of a step in it."""

    step_size: Step
