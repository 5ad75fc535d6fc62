"""The settings of a run: an entry of the section `runs` of params.yaml."""

from typing import Any

from pydantic import ValidationInfo, field_validator

from spectroscope.models.architectures import architecture
from spectroscope.pipeline.params import Settings
from spectroscope.training.regimes.pretrained import Pretrained
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import OwnTraining
from spectroscope.training.start import Start


class Run(Settings):
    """A run: one architecture trained on images of one band (a key of `bands`) in one regime, with every seed.

    `start`: trained weights to start from, null or left out for random ones. `training`: what the run changes in the
    section `training`, null or left out for nothing. They alone may be left out: most runs have neither.
    """

    band: str
    regime: Regime
    model: str
    start: Start | None = None
    training: OwnTraining | None = None

    @field_validator("model")
    @classmethod
    def _model_exists(cls, name: str) -> str:
        architecture(name)
        return name

    @field_validator("start", "training")
    @classmethod
    def _is_trained(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and isinstance(info.data.get("regime"), Pretrained):
            raise ValueError("expected none with the regime pretrained, which trains nothing, got one")
        return value
