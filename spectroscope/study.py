"""A study: the whole of params.yaml, checked as one."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from spectroscope.attack_checks.transfer import AttackChecksSettings
from spectroscope.attacks.registry import AttackSettings
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bands import BandSettings
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.information import InformationSettings
from spectroscope.models.architectures import architecture
from spectroscope.perturbation.spectra import PerturbationSettings
from spectroscope.pipeline.params import Settings
from spectroscope.probing.tables import ProbingSettings
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import TrainingSettings
from spectroscope.validation.settings import ValidationSettings

MOST_RUNS = 12  # which figures can tell apart by their colours


class Run(Settings):
    """A network to train: the band of its training images, what it is trained against, its architecture."""

    band: str
    regime: Regime
    model: str

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        architecture(name)
        return name


class EvaluationSettings(Settings):
    """`n_images`: test images that accuracies on clean and filtered images are measured on."""

    n_images: Annotated[int, Field(ge=1)]


class Study(Settings):
    """Every section of params.yaml."""

    dataset: DatasetSettings
    bands: Annotated[dict[str, BandSettings], Field(min_length=1)]
    runs: Annotated[dict[str, Run], Field(min_length=1)]
    training: TrainingSettings
    attacks: Annotated[dict[str, AttackSettings], Field(min_length=1)]
    evaluation: EvaluationSettings
    attack_checks: AttackChecksSettings
    information: InformationSettings
    probing: ProbingSettings
    perturbation: PerturbationSettings
    attribution: AttributionSettings
    validation: ValidationSettings
    statistics: StatisticsSettings
    findings: FindingsSettings

    @model_validator(mode="after")
    def _names_agree(self) -> "Study":
        if len(self.runs) > MOST_RUNS:
            raise ValueError(f"runs: expected at most {MOST_RUNS}, one colour each, got {len(self.runs)}")
        for name, run in self.runs.items():
            if run.band not in self.bands:
                raise ValueError(f"runs.{name}.band: expected a band among {', '.join(self.bands)}, got {run.band!r}")
        if self.findings.reference not in self.runs:
            known, got = ", ".join(self.runs), self.findings.reference
            raise ValueError(f"findings.reference: expected a run among {known}, got {got!r}")
        if self.probing.masks.attack not in self.attacks:
            known, got = ", ".join(self.attacks), self.probing.masks.attack
            raise ValueError(f"probing.masks.attack: expected an attack among {known}, got {got!r}")
        for name in self.attack_checks.transfer:
            if name not in self.attacks:
                known = ", ".join(self.attacks)
                raise ValueError(f"attack_checks.transfer: expected attacks among {known}, got {name!r}")
        if "clean" in self.attacks:
            raise ValueError("attacks.clean: expected another name, since `clean` stands for no attack")
        return self
