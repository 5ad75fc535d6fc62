"""A study: the whole of params.yaml, checked as one."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from spectroscope.attacks.settings import AttackSettings
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bandfiles import BandFile
from spectroscope.datasets.sources import DatasetSettings
from spectroscope.examination.settings import InversionSettings, MarginSettings, MaskSettings
from spectroscope.information import InformationSettings
from spectroscope.models import lookup
from spectroscope.params import Settings
from spectroscope.perturbation.settings import PerturbationSettings
from spectroscope.regimes.settings import Adversarial, Regime
from spectroscope.stats import StatisticsSettings
from spectroscope.training import TrainingSettings

MOST_RUNS = 12  # which figures can tell apart by their colours


class Run(Settings):
    """A network to train: the band of its training images, what it is trained against, its architecture."""

    band: str
    regime: Regime
    model: str

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        lookup(name)
        return name


class EvaluationSettings(Settings):
    """How many test images accuracies on clean and filtered images are measured on, and which attacks are tried on the
    other runs."""

    n_images: Annotated[int, Field(ge=1)]
    transfer: list[str]


class Study(Settings):
    """Every section of params.yaml."""

    dataset: DatasetSettings
    bands: Annotated[dict[str, BandFile], Field(min_length=1)]
    runs: Annotated[dict[str, Run], Field(min_length=1)]
    training: TrainingSettings
    judge: Adversarial
    attacks: Annotated[dict[str, AttackSettings], Field(min_length=1)]
    evaluation: EvaluationSettings
    information: InformationSettings
    margins: MarginSettings
    masks: MaskSettings
    inversion: InversionSettings
    perturbation: PerturbationSettings
    attribution: AttributionSettings
    statistics: StatisticsSettings

    @model_validator(mode="after")
    def _names_agree(self) -> "Study":
        if len(self.runs) > MOST_RUNS:
            raise ValueError(f"runs: expected at most {MOST_RUNS}, one colour each, got {len(self.runs)}")
        for name, run in self.runs.items():
            if run.band not in self.bands:
                raise ValueError(f"runs.{name}.band: expected a band among {', '.join(self.bands)}, got {run.band!r}")
        if self.statistics.reference not in self.runs:
            known, got = ", ".join(self.runs), self.statistics.reference
            raise ValueError(f"statistics.reference: expected a run among {known}, got {got!r}")
        if self.masks.attack not in self.attacks:
            known, got = ", ".join(self.attacks), self.masks.attack
            raise ValueError(f"masks.attack: expected an attack among {known}, got {got!r}")
        for name in self.evaluation.transfer:
            if name not in self.attacks:
                known = ", ".join(self.attacks)
                raise ValueError(f"evaluation.transfer: expected attacks among {known}, got {name!r}")
        if "clean" in self.attacks:
            raise ValueError("attacks.clean: expected another name, since `clean` stands for no attack")
        return self
