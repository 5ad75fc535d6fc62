"""Adversarial training: PGD attacks every batch before the step (Madry et al. 2018)."""

from typing import Annotated, Literal

from pydantic import Field

from spectroscope.frequency.passbands import PassBand
from spectroscope.pipeline.params import Settings
from spectroscope.training.adversary import Loss, cross_entropy, pgd_adversary
from spectroscope.training.hooks import Adversary, TrainingHooks


class AdversarialLinf(Settings):
    """PGD in an l-inf ball; sizes in units of 1/255."""

    name: Literal["adversarial"]
    norm: Literal["linf"]
    eps_255: Annotated[float, Field(gt=0, le=255)]
    step_255: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


class AdversarialL2(Settings):
    """PGD in an l2 ball; sizes in units of pixels in [0, 1]."""

    name: Literal["adversarial"]
    norm: Literal["l2"]
    eps: Annotated[float, Field(gt=0)]
    step_size: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1)]
    random_start: bool


Adversarial = Annotated[AdversarialLinf | AdversarialL2, Field(discriminator="norm")]


def build_adversary(settings: Adversarial, loss: Loss = cross_entropy, band: PassBand | None = None) -> Adversary:
    """PGD with these settings that increases `loss`, confined to `band` if there is one."""
    eps, step_size = radius_and_step(settings)
    return pgd_adversary(settings.norm, eps, step_size, settings.steps, settings.random_start, loss, band)


def own_attack(settings: Adversarial, validation: Adversarial, band: PassBand | None = None) -> Adversary:
    """PGD in the ball (and band) of `settings` that increases the cross-entropy, with the validation attack's steps.

    The step has the validation attack's size relative to the radius.
    """
    eps, _ = radius_and_step(settings)
    validation_eps, validation_step = radius_and_step(validation)
    step_size = eps * (validation_step / validation_eps)
    return pgd_adversary(settings.norm, eps, step_size, validation.steps, validation.random_start, band=band)


def radius_and_step(settings: Adversarial) -> tuple[float, float]:
    """Radius and step size, in pixels of [0, 1]."""
    if isinstance(settings, AdversarialLinf):
        return settings.eps_255 / 255, settings.step_255 / 255
    return settings.eps, settings.step_size


def hooks(settings: Adversarial) -> TrainingHooks:
    """PGD on the cross-entropy."""
    return TrainingHooks(adversary=build_adversary(settings))
