"""Adversarial training whose perturbations are confined to a band."""

from typing import Literal

from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks
from spectroscope.training.regimes.adversarial import Adversarial, build_adversary
from spectroscope.training.regimes.frequencies import Frequencies


class Confined(Settings):
    name: Literal["confined"]
    frequencies: Frequencies
    adversary: Adversarial


def hooks(settings: Confined) -> TrainingHooks:
    """PGD, with gradient and perturbation projected onto the band."""
    return TrainingHooks(adversary=build_adversary(settings.adversary, band=settings.frequencies.band))
