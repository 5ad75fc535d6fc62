"""What can be set for each attack, and the ball its perturbations stay in.

Sizes in the l-inf norm are in 1/255 units (`eps_255`), other sizes in units of pixels in [0, 1] (`eps`). Where a radius
is of type `Sizes`, an entry may list several, and each is an attack of its own; see `parts`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from spectroscope.attacks.settings_black_box import HopSkipJump, Nes, Spsa
from spectroscope.attacks.settings_frequency import Confined, Fourier, Noise
from spectroscope.attacks.settings_white_box import Ddn, Deepfool, Fab, Pgd
from spectroscope.attacks.settings_yardstick import Apgd, Autoattack, Square
from spectroscope.attacks.sizes import Count, Size, Sizes, Step, Target
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings


class Fgsm(Settings):
    """One step along the sign of the gradient (Goodfellow et al. 2015)."""

    method: Literal["fgsm"]
    n_images: Count
    target: Target
    eps_255: Sizes

    @property
    def ball(self) -> Ball:
        return Ball("linf", self.eps_255 / 255)


class Cw(Settings):
    """Smallest l2 change found by `search_steps` runs of Adam over `steps` steps (Carlini & Wagner 2017, l2 attack).

    `eps`: the change found is then projected onto the l2 ball of this radius, as in Wang et al. 2020, who do not give
    their radius; null leaves it as it is.
    """

    method: Literal["cw"]
    n_images: Count
    target: Target
    eps: Sizes | None
    confidence: Size
    learning_rate: Step
    initial_const: Step
    search_steps: Count
    steps: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball("l2", self.eps)


class Simba(Settings):
    """Random search along the directions of an orthonormal basis by scores alone (Guo et al. 2019).

    `step_size`: l2 norm of one step. `freq_dims`: only the coefficients of that many lowest rows and columns, null for
    all. `eps_255`: l-inf bound of Wang et al. 2020, null for none as in Guo et al. `max_queries`: for one image.
    """

    method: Literal["simba"]
    basis: Literal["pixel", "dct", "random"]
    freq_dims: Count | None
    n_images: Count
    target: Target
    eps_255: Sizes | None
    step_size: Step
    max_queries: Count

    @property
    def ball(self) -> Ball | None:
        return None if self.eps_255 is None else Ball("linf", self.eps_255 / 255)

    @model_validator(mode="after")
    def _frequencies_need_a_spectrum(self) -> "Simba":
        if self.basis != "dct" and self.freq_dims is not None:
            raise ValueError(f"expected freq_dims null where basis is {self.basis}, got {self.freq_dims}")
        return self


AttackSettings = Annotated[
    Fgsm
    | Pgd
    | Cw
    | Ddn
    | Fab
    | Deepfool
    | Apgd
    | Autoattack
    | Square
    | Simba
    | Nes
    | Spsa
    | HopSkipJump
    | Confined
    | Fourier
    | Noise,
    Field(discriminator="method"),
]

RADII = ("eps", "eps_255")
# By method, the key whose words or names are attacks of their own.
VARIANTS = {"confined": "bands", "deepfool": "bands", "noise": "kinds"}


def parts(settings: AttackSettings) -> list[tuple[str, list[AttackSettings]]]:
    """An entry as attacks with one variant and one radius: for each variant, its name ("" where there are none) and its
    settings, one for each radius in the order given."""
    key = VARIANTS.get(settings.method)
    variants = [("", settings)]
    if key and (given := getattr(settings, key)) is not None:
        single = [{name: given[name]} if isinstance(given, dict) else [name] for name in given]
        variants = [(name, settings.model_copy(update={key: one})) for name, one in zip(given, single, strict=True)]
    return [(name, _radii(variant)) for name, variant in variants]


def label(variant: str, settings: AttackSettings, several: bool) -> str:
    """The name of a variant with its radius where there are several: `low 8/255`."""
    radii = [f"{settings.eps_255:g}/255" if key == "eps_255" else f"{settings.eps:g}" for key in _given(settings)]
    return " ".join(filter(None, [variant, *(radii if several else [])]))


def _radii(settings: AttackSettings) -> list[AttackSettings]:
    for key in _given(settings):
        if isinstance(values := getattr(settings, key), list):
            return [settings.model_copy(update={key: value}) for value in values]
    return [settings]


def _given(settings: Any) -> list[str]:
    return [key for key in RADII if getattr(settings, key, None) is not None]
