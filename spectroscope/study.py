"""The settings of a whole study: every section of params.yaml, and that the names in them agree."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from spectroscope.attack_checks.describe import describe
from spectroscope.attack_checks.transfer import AttackChecksSettings
from spectroscope.attacks.registry import AttackSettings, bounded
from spectroscope.attribution.compare import WAVES
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bands import BandSettings
from spectroscope.claims.names import check_names, rows_of_study
from spectroscope.claims.settings import Claims
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.evaluation import EvaluationSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.information import InformationSettings
from spectroscope.models.architectures import architecture
from spectroscope.perturbation.spectra import PerturbationSettings
from spectroscope.pipeline import params
from spectroscope.pipeline.params import Settings
from spectroscope.probing.tables import ProbingSettings
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.training.regimes.pretrained import Pretrained
from spectroscope.training.regimes.registry import Regime
from spectroscope.training.settings import TrainingSettings
from spectroscope.validation.faithfulness import TRIVIAL
from spectroscope.validation.settings import ValidationSettings

MOST_RUNS = 12  # more cannot be told apart by their colours in figures


class Run(Settings):
    """A run: one architecture trained on images of one band (a key of `bands`) in one regime, with every seed."""

    band: str
    regime: Regime
    model: str

    @field_validator("model")
    @classmethod
    def _model_exists(cls, name: str) -> str:
        architecture(name)
        return name


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
    claims: Claims

    @model_validator(mode="after")
    def _names_agree(self) -> "Study":
        if len(self.runs) > MOST_RUNS:
            raise ValueError(f"runs: expected at most {MOST_RUNS}, one colour each, got {len(self.runs)}")
        names: list[tuple[str, str, str, Collection[str]]]
        names = [(f"runs.{name}.band", run.band, "a band", self.bands) for name, run in self.runs.items()]
        names += [("findings.reference", self.findings.reference, "a run", self.runs)]
        names += [("findings.attack", self.findings.attack, "an attack within a ball", self._attack_names())]
        names += [("probing.masks.attack", self.probing.masks.attack, "an attack", self.attacks)]
        names += [("attack_checks.transfer", name, "attacks", self.attacks) for name in self.attack_checks.transfer]
        for key, name, kind, known in names:
            if name not in known:
                raise ValueError(f"{key}: expected {kind} among {', '.join(known)}, got {name!r}")
        compared, waves = (
            self.attribution.compared,
            [n for n, m in self.attribution.methods.items() if m.method in WAVES],
        )
        if waves and compared.shape == "octave":
            raise ValueError(
                f"attribution.compared.shape: expected another than octave for the methods {', '.join(waves)}, whose "
                "bands are the DFT's: its octaves are others than the DCT's"
            )
        for name in set(TRIVIAL) & set(self.attribution.methods):
            raise ValueError(
                f"attribution.methods.{name}: expected another name, since {name} is an order of validation"
            )
        if "clean" in self.attacks:
            raise ValueError("attacks.clean: expected another name, since `clean` stands for no attack")
        named = self.attacks.get("autoattack")
        if named is not None and named.method != "autoattack":  # another ensemble is weaker than that name says
            raise ValueError(f"attacks.autoattack: expected the method autoattack under this name, got {named.method}")
        shapes = [str(shape) for shape in self.perturbation.shapes]
        rows = rows_of_study(list(self.runs), list(self.bands), self.attacks, self.attack_checks.transfer, shapes)
        check_names(self.claims, rows)
        return self

    def _attack_names(self) -> list[str]:
        """Every attack within a ball, variants and radii included."""
        attacks = describe(self.attacks)
        return attacks.loc[attacks["entry"].isin(bounded(self.attacks)), "attack"].tolist()


def check_files(study: Study) -> None:
    """ValueError with a line for each weights file of a `pretrained` run that is not there."""
    faults = [
        f"{params.FILE}: runs.{name}.regime.weights: expected a file {file}, found none"
        for name, run in study.runs.items()
        if isinstance(run.regime, Pretrained)
        for file in run.regime.weights or []
        if not Path(file).is_file()
    ]
    if faults:
        raise ValueError("\n".join(faults))
