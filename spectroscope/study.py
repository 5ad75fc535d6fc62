"""The settings of a whole study: every section of params.yaml, and that the names in them agree."""

import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from spectroscope.attack_checks.describe import describe
from spectroscope.attack_checks.transfer import AttackChecksSettings
from spectroscope.attacks.registry import AttackSettings, bounded
from spectroscope.attribution.compare import WAVES
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bands import BandSettings
from spectroscope.claims.names import check_names, rows_of_study
from spectroscope.claims.settings import Claims
from spectroscope.dataset.files import sha256_of
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.evaluation import EvaluationSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.information import InformationSettings
from spectroscope.models.loading import WeightsFiles
from spectroscope.perturbation.spectra import PerturbationSettings
from spectroscope.pipeline import machine, params
from spectroscope.pipeline.params import Settings
from spectroscope.probing.tables import ProbingSettings
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.training.run import Run
from spectroscope.training.settings import TrainingSettings
from spectroscope.training.start import files_by_seed
from spectroscope.validation.checks import ValidationSettings
from spectroscope.validation.faithfulness import TRIVIAL

MOST_RUNS = 12  # more cannot be told apart by their colours in figures


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
        for name, run in self.runs.items():
            try:
                if run.start is not None:
                    files_by_seed(run.start, self.training.seeds)
            except ValueError as error:
                raise ValueError(f"runs.{name}.{error}") from None
        for kind, own in (("bands", self.bands), ("runs", self.runs), ("attacks", self.attacks)):
            _require_own_files(kind, own)
        cells: dict[str, tuple[str, str]] = {}
        for cell in product(self.runs, self.attacks):
            if (other := cells.setdefault("-".join(cell), cell)) != cell:
                raise ValueError(
                    f"runs.{cell[0]}: expected names of runs and attacks that give each cell a name of its own, got "
                    f"{'-'.join(cell)} for {' under '.join(other)} and for {' under '.join(cell)}"
                )
        compared, waves = (
            self.attribution.compared,
            [n for n, m in self.attribution.methods.items() if m.method in WAVES],
        )
        if waves and compared.shape == "octave":
            raise ValueError(
                f"attribution.compared.shape: expected another than octave for the methods {', '.join(waves)}, whose "
                "bands are the DFT's: its octaves are others than the DCT's"
            )
        n_images = self.attribution.compared.n_images
        for name, check in (("sanity", self.validation.sanity), ("multiverse", self.validation.multiverse)):
            if check is not None and check.n_images > n_images:
                raise ValueError(
                    f"validation.{name}.n_images: expected at most attribution.compared.n_images = {n_images}, "
                    f"got {check.n_images}"
                )
        for shape in self.validation.multiverse.shapes if self.validation.multiverse else []:
            if shape in ("equal_count", "equal_energy") and compared.bands is None:
                raise ValueError(
                    f"attribution.compared.bands: expected a number for the multiverse's {shape}, got null"
                )
        _require_own_bands("bands", self.bands)
        for name, attack in self.attacks.items():
            _require_own_bands(f"attacks.{name}.bands", getattr(attack, "bands", None) or {})
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
        keys = (list(self.runs), list(self.bands), self.attacks, self.attack_checks.transfer, shapes)
        check_names(
            self.claims,
            rows_of_study(
                *keys, layers=self.probing.layers is not None, choices=self.validation.multiverse is not None
            ),
        )
        return self

    def _attack_names(self) -> list[str]:
        """Every attack within a ball, variants and radii included."""
        attacks = describe(self.attacks)
        return attacks.loc[attacks["entry"].isin(bounded(self.attacks)), "attack"].tolist()


def _require_own_bands(key: str, bands: Mapping[str, Settings]) -> None:
    """ValueError for two names of one band."""
    same: dict[str, str] = {}
    for name, band in bands.items():
        first = same.setdefault(band.model_dump_json(), name)
        if first != name:
            raise ValueError(f"{key}.{name}: expected a band of its own, got that of {key}.{first}")


def _require_own_files(kind: str, names: Iterable[str]) -> None:
    """ValueError for two names that are one file where letters of both cases, or both forms of an accent, are one."""
    same: dict[str, str] = {}
    for name in names:
        first = same.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first != name:
            raise ValueError(
                f"{kind}.{name}: expected a name that differs from {kind}.{first} in more than upper and lower case, "
                f"got {name!r}: on some file systems both are one folder"
            )


def check_files(study: Study) -> None:
    """ValueError with a line for each weights file, of a `pretrained` run or of a start, that is not there.

    And for `training.threads` beyond the cores of this machine.
    """
    faults = [
        f"{params.FILE}: runs.{name}.{key}.weights: expected a file {file}, found none"
        for name, run in study.runs.items()
        for key, files in (("regime", run.regime), ("start", run.start))
        if isinstance(files, WeightsFiles)
        for file in files.weights or []
        if not Path(file).is_file()
    ]
    try:
        if not os.environ.get("SPECTROSCOPE_LAUNCHER"):  # it may train on another machine, which checks its own cores
            machine.check_threads(study.training.threads)
    except ValueError as error:
        faults.append(f"{params.FILE}: {error}")
    if faults:
        raise ValueError("\n".join(faults))
    for name, run in study.runs.items():
        for key, files in (("regime", run.regime), ("start", run.start)):
            if isinstance(files, WeightsFiles):
                _require_different(f"{params.FILE}: runs.{name}.{key}.weights", files.weights or [])


def _require_different(key: str, files: Iterable[str]) -> None:
    """ValueError for two files that are one, by a link, or hold the same bytes: they are not two networks."""
    first: dict[str, str] = {}
    for file in files:
        other = first.setdefault(sha256_of([Path(file)]), file)
        if other != file:
            raise ValueError(f"{key}: expected files of different networks, got the same in {other} and {file}")
