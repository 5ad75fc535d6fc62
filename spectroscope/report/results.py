"""Everything the page shows of one study, read from the files of the other stages and checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spectroscope.pipeline import arrays, files
from spectroscope.pipeline.arrays import ArrayImages
from spectroscope.report import style

CANDIDATES = 64  # attacked images of each cell among which one is chosen to be shown

_INTERVAL = "mean low high n_images"
_SUMMARY = f"{_INTERVAL} n_seeds networks"
TABLES = {
    "accuracy": f"run attack clean {_SUMMARY}",
    "band_accuracy": f"run band {_SUMMARY}",
    "occluded_frequency": f"run score shell at_chance {_SUMMARY}",
    "class_occluded_frequency": "run score class shell mean low high",
    "training": "run seed epoch loss clean robust",
    "probes": f"band features labels coefficients {_INTERVAL}",
    "class_spectra": f"class statistic shell {_INTERVAL}",
    "attacks": f"run attack kind norm eps l2 queries median_l2 median_l2_low median_l2_high {_SUMMARY}",
    "margins": f"run band unreached {_SUMMARY}",
    "masks": f"run mask shell {_SUMMARY}",
    "counterparts": f"run statistic shell {_SUMMARY}",
    "methods": f"run method band position {_SUMMARY}",
}
# Empty where a study leaves layers out, has one run, no black box, no planted truth, no run above chance, and so on.
OPTIONAL_TABLES = {
    "reliance": f"run score statistic marked n_missing {_SUMMARY}",
    "band_loss": f"run band change measure energy {_SUMMARY}",
    "layers": f"run layer network statistic band cycles {_SUMMARY}",
    "contrasts": f"run reference statistic {_SUMMARY}",
    "perturbation": f"run attack source shape statistic shell {_SUMMARY}",
    "calibrated": f"run attack source shape shell z {_SUMMARY}",
    "split_half": "run attack estimator mean",
    "queries": f"run attack queries {_SUMMARY}",
    "confined": f"run entry band coefficients l2 relied {_SUMMARY}",
    "attack_transfer": f"attack source run {_SUMMARY}",
    "agreement": f"run method other {_SUMMARY}",
    "concordance": f"run method across raters {_SUMMARY}",
    "faithfulness": f"run order unit kind less_energy less_energy_low less_energy_high {_SUMMARY}",
    "recovery": f"run method labels hurt_named hurt_other hurts_more chance p control control_p {_SUMMARY}",
    "multiverse": f"run reference statistic basis shape baseline score clip normalisation marked {_SUMMARY}",
    "signs": "run statistic n_choices no_centre same_sign sure",
    "claims": "claim says verdict weak mean low high expect margin unit n_networks n_images n_runs control control_low "
    "control_high void reason needed why table choice",
}


@dataclass(frozen=True)
class Results:
    """One study: its settings, its tables and maps, and a look at its images.

    `settings`: params.yaml. `provenance`: of the data set. `warnings`: run -> check -> why an attack may be weak.
    `tables`: by the names in TABLES and OPTIONAL_TABLES. `rct_maps`: relative changes, every run and attack together;
    `attribution_maps`: of each run, rows (method, u, v, value, seed). `images`: the test images; `bands`: what each
    band keeps of them. `adversaries`: (run, attack) -> perturbations (n, C, H, W) of one seed and their rows.
    """

    settings: dict[str, Any]
    provenance: dict[str, Any]
    warnings: dict[str, dict[str, str]]
    tables: dict[str, pd.DataFrame]
    rct_maps: pd.DataFrame
    attribution_maps: dict[str, pd.DataFrame]
    images: ArrayImages
    bands: dict[str, ArrayImages]
    adversaries: dict[tuple[str, str], tuple[np.ndarray, pd.DataFrame]]

    @property
    def run_colours(self) -> style.RunColours:
        """The colour of each run, in the order of params.yaml."""
        return style.assign_colours(list(self.settings["runs"]))

    @property
    def chance(self) -> float:
        """Accuracy of a guess among the classes."""
        return 1 / len(self.images.classes)

    @property
    def at_chance(self) -> list[str]:
        """Runs that guess on clean images."""
        curves = self.tables["occluded_frequency"]
        return [run for run in self.settings["runs"] if curves.loc[curves["run"] == run, "at_chance"].any()]

    @property
    def band_runs(self) -> list[str]:
        """Runs trained on images that lack a part of the spectrum."""
        kept = {band: entry["keep"] for band, entry in self.settings["bands"].items()}
        return [run for run in self.settings["runs"] if kept[self.band_of(run)] not in ("all", "permuted")]

    def band_of(self, run: str) -> str:
        """The band of the images that a run was trained on."""
        return self.settings["runs"][run]["band"]

    @property
    def attacks(self) -> list[str]:
        """Every attack and variant, in the order of params.yaml."""
        return list(dict.fromkeys(attack for _, attack in self.adversaries))


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Every table of the page; ValueError naming a file that is missing, lacks a column, or is empty but required."""
    tables = {}
    for name, columns in {**TABLES, **OPTIONAL_TABLES}.items():
        path = folder / f"{name}.csv"
        tables[name] = table = files.read_table(path)
        if table.empty and name in OPTIONAL_TABLES:
            continue
        missing = [column for column in columns.split() if column not in table]
        if missing:
            raise ValueError(f"{path}: expected column {', '.join(missing)}, got {', '.join(map(str, table.columns))}")
        if table.empty:
            raise ValueError(f"{path}: expected at least one row, got an empty table")
    return tables


def read_adversaries(folder: Path, settings: dict[str, Any]) -> dict[tuple[str, str], tuple[np.ndarray, pd.DataFrame]]:
    """Candidates to be shown of every run, attack and variant."""
    adversaries = {}
    for run in settings["runs"]:
        for attack in settings["attacks"]:
            for variant, (perturbations, rows) in arrays.read_attack(folder / run / f"{attack}.parquet").items():
                adversaries[run, variant] = candidates(perturbations, rows)
    return adversaries


def candidates(perturbations: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Perturbations and rows of the first CANDIDATES images of the lowest seed."""
    rows = rows[rows["seed"] == rows["seed"].min()].head(CANDIDATES)
    return perturbations[rows.index.to_list()], rows
