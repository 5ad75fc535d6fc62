"""What can be set for each attack, and the ball its perturbations stay in.

Sizes in the l-inf norm are in 1/255 units (`eps_255`), sizes in the l2 norm in units of pixels in [0, 1] (`eps`).
"""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from spectroscope.params import Settings

Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Step = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Ball(NamedTuple):
    """Perturbations of norm <= eps, in units of pixels in [0, 1]."""

    norm: Literal["linf", "l2"]
    eps: float


class Fgsm(Settings):
    """One step along the sign of the gradient (Goodfellow et al. 2015)."""

    method: Literal["fgsm"]
    n_images: Count
    eps_255: Size

    @property
    def ball(self) -> Ball:
        return Ball("linf", self.eps_255 / 255)


class PgdLinf(Settings):
    """Projected steps along the sign of the gradient (Madry et al. 2018)."""

    method: Literal["pgd"]
    norm: Literal["linf"]
    n_images: Count
    eps_255: Size
    step_255: Step
    steps: Count
    random_start: bool

    @property
    def ball(self) -> Ball:
        return Ball("linf", self.eps_255 / 255)

    @property
    def step_size(self) -> float:
        return self.step_255 / 255


class PgdL2(Settings):
    """Projected steps along the gradient scaled to norm 1 (Madry et al. 2018)."""

    method: Literal["pgd"]
    norm: Literal["l2"]
    n_images: Count
    eps: Size
    step_size: Step
    steps: Count
    random_start: bool

    @property
    def ball(self) -> Ball:
        return Ball("l2", self.eps)


class Cw(Settings):
    """Smallest l2 change found by `search_steps` runs of Adam over `steps` steps (Carlini & Wagner 2017, l2 attack).

    `eps`: the change found is then projected onto the l2 ball of this radius, as in Wang et al. 2020, who do not give
    their radius; null leaves it as it is.
    """

    method: Literal["cw"]
    n_images: Count
    eps: Size | None
    confidence: Size
    learning_rate: Step
    initial_const: Step
    search_steps: Count
    steps: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball("l2", self.eps)


class Simba(Settings):
    """Random search along single pixels or single DCT coefficients by scores alone (Guo et al. 2019).

    `step_size`: l2 norm of one step. `freq_dims`: only the coefficients of that many lowest rows and columns, null for
    all. `eps_255`: l-inf bound of Wang et al. 2020, null for none as in Guo et al. `max_queries`: for one image.
    """

    method: Literal["simba"]
    basis: Literal["pixel", "dct"]
    freq_dims: Count | None
    n_images: Count
    eps_255: Size | None
    step_size: Step
    max_queries: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps_255 is None else Ball("linf", self.eps_255 / 255)

    @model_validator(mode="after")
    def _frequencies_need_a_spectrum(self) -> "Simba":
        if self.basis == "pixel" and self.freq_dims is not None:
            raise ValueError(f"expected freq_dims null where basis is pixel, got {self.freq_dims}")
        return self


Pgd = Annotated[PgdLinf | PgdL2, Field(discriminator="norm")]
AttackSettings = Annotated[Fgsm | Pgd | Cw | Simba, Field(discriminator="method")]
