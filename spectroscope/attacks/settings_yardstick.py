"""What can be set for the attacks of Croce & Hein 2020: Auto-PGD, Square, and the ensemble."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spectroscope.attacks.sizes import Count, InL2, InLinf, Target
from spectroscope.pipeline.params import Settings


class _Apgd(Settings):
    """Auto-PGD, 1 + `steps` evaluations.

    `loss`: with `targeted_dlr` the goal is any other class, tried in turn towards the `n_targets` classes that score
    best on the clean image; null for the other losses.
    """

    method: Literal["apgd"]
    n_images: Count
    target: Target
    loss: Literal["cross_entropy", "dlr", "targeted_dlr"]
    n_targets: Count | None
    steps: Count

    @model_validator(mode="after")
    def _targets(self) -> "_Apgd":
        if (self.loss == "targeted_dlr") != (self.n_targets is not None):
            raise ValueError(
                f"expected n_targets with the loss targeted_dlr and null else, got {self.n_targets} and {self.loss}"
            )
        if self.loss == "targeted_dlr" and self.target is not None:
            raise ValueError(f"expected target null where loss is targeted_dlr, got {self.target}; use the loss dlr")
        return self


class ApgdLinf(InLinf, _Apgd):
    """Auto-PGD in an l-inf ball."""


class ApgdL2(InL2, _Apgd):
    """Auto-PGD in an l2 ball."""


class _Square(Settings):
    """Random search by square windows (Andriushchenko et al. 2020).

    `max_queries`: for one image. `first_share`: part of the pixels in the first windows (p of the paper: 0.05 in l-inf
    and 0.1 in l2 there, 0.8 in Croce & Hein 2020).
    """

    method: Literal["square"]
    n_images: Count
    target: Target
    first_share: Annotated[float, Field(gt=0, le=1)]
    max_queries: Count


class SquareLinf(InLinf, _Square):
    """Square in an l-inf ball."""


class SquareL2(InL2, _Square):
    """Square in an l2 ball."""


class _Autoattack(Settings):
    """The standard ensemble, each part on the images that the parts before it left.

    `apgd_steps`, `fab_steps`: of each run; `n_targets`: classes tried by targeted APGD and targeted FAB; `max_queries`:
    of Square, for one image. 100, 100, 9 and 5,000 in the paper.
    """

    method: Literal["autoattack"]
    n_images: Count
    apgd_steps: Count
    fab_steps: Count
    n_targets: Count
    max_queries: Count


class AutoattackLinf(InLinf, _Autoattack):
    """AutoAttack in an l-inf ball."""


class AutoattackL2(InL2, _Autoattack):
    """AutoAttack in an l2 ball."""


Apgd = Annotated[ApgdLinf | ApgdL2, Field(discriminator="norm")]
Square = Annotated[SquareLinf | SquareL2, Field(discriminator="norm")]
Autoattack = Annotated[AutoattackLinf | AutoattackL2, Field(discriminator="norm")]
