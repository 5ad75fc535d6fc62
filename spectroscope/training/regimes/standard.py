"""Standard training, on clean images alone."""

from typing import Literal

from spectroscope.pipeline.params import Settings
from spectroscope.training.hooks import TrainingHooks


class Standard(Settings):
    name: Literal["standard"]


def hooks(settings: Standard) -> TrainingHooks:
    return TrainingHooks()
