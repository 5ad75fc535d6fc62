"""What can be set for the attacks that follow the gradient: projected steps, and those after the nearest adversary."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spectroscope.attacks.settings_frequency import AttackedBand
from spectroscope.attacks.sizes import Count, Sizes, Step, StepsInL2, StepsInLinf, Target
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings


class _Pgd(Settings):
    """Projected steps (Madry et al. 2018).

    `direction`: of a step, see `geometry.step`; Madry et al. 2018 take the sign in l-inf and l2 in l2. `momentum`: the
    part of the gathered gradient that is kept, 0 for none (Dong et al. 2018, Eq. 6). `stop_early`: an image that is
    fooled takes no further step, which is faster, but leaves the perturbation nearer to the boundary.
    """

    method: Literal["pgd"]
    n_images: Count
    target: Target
    steps: Count
    random_start: bool
    direction: Literal["sign", "l2", "raw"]
    momentum: Annotated[float, Field(ge=0)]
    stop_early: bool

    @model_validator(mode="after")
    def _raw_has_no_momentum(self) -> "_Pgd":
        if self.direction == "raw" and self.momentum:
            raise ValueError(f"expected momentum 0 where direction is raw, got {self.momentum:g}")
        return self


class PgdLinf(StepsInLinf, _Pgd):
    """PGD in an l-inf ball."""


class PgdL2(StepsInL2, _Pgd):
    """PGD in an l2 ball."""


class PgdL1(_Pgd):
    """PGD in an l1 ball."""

    norm: Literal["l1"]
    eps: Sizes
    step_size: Step

    @property
    def ball(self) -> Ball:
        return Ball("l1", self.eps)


class Ddn(Settings):
    """Smallest l2 change found in `steps` steps (Rony et al. 2019).

    `initial_norm`: norm of the first perturbation; `gamma`: by which part the norm shrinks where an image is fooled and
    grows where not (1 and 0.05 in the paper).
    """

    method: Literal["ddn"]
    n_images: Count
    target: Target
    initial_norm: Step
    gamma: Annotated[float, Field(gt=0, lt=1)]
    steps: Count

    @property
    def ball(self) -> None:
        return None


class Fab(Settings):
    """Smallest change found in `steps` steps (Croce & Hein 2020, FAB).

    `n_targets`: null goes to the nearest of all boundaries at each step, at the cost of a gradient for each class; a
    number goes in turn to those of the classes that score best on the clean image, at the cost of one.
    """

    method: Literal["fab"]
    norm: Literal["linf", "l2"]
    n_images: Count
    target: Target
    n_targets: Count | None
    steps: Count

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> "Fab":
        if self.target is not None and self.n_targets is not None:
            raise ValueError(f"expected n_targets null where target is {self.target}, got {self.n_targets}")
        return self

    @property
    def ball(self) -> None:
        return None


class Deepfool(Settings):
    """Small l2 change found in at most `steps` steps (Moosavi-Dezfooli et al. 2016).

    `bands`: null for the attack as published; else each is a variant, a change within that band alone (Ortiz-Jimenez et
    al. 2020).
    `overshoot`: the part by which the sum of the steps goes beyond the boundary (0.02 in the paper).
    """

    method: Literal["deepfool"]
    n_images: Count
    target: Target
    bands: Annotated[dict[str, AttackedBand], Field(min_length=1)] | None
    overshoot: Annotated[float, Field(gt=0)]
    steps: Count

    @property
    def ball(self) -> None:
        return None


Pgd = Annotated[PgdLinf | PgdL2 | PgdL1, Field(discriminator="norm")]
