"""Everything that is measured of one set of perturbations and of its control."""

import numpy as np
import pandas as pd
from torch import Tensor

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.perturbation import tables
from spectroscope.perturbation.null import matched_noise
from spectroscope.perturbation.settings import ESTIMATORS, PerturbationSettings
from spectroscope.pipeline import machine

TABLES = ("maps", "perturbation", "calibrated", "phase", "classes", "split_half")


def measure(
    clean: Tensor,
    perturbations: Tensor,
    units: np.ndarray,
    labels: Tensor,
    classes: tuple[str, ...],
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> dict[str, pd.DataFrame]:
    """Each of TABLES by its name, with the column source: attack or control.

    The control, one draw of norm-matched noise, goes through all that the attack goes through, its score against the
    other draws included: what it finds is what there is to find in noise. It has no classes and no split halves.
    """
    control = matched_noise(clean, perturbations, machine.generator(settings.noise_seed))
    null = tables.null(clean, perturbations, settings)
    found = [
        (
            "classes",
            "attack",
            tables.by_class(clean, perturbations, null, units, labels, classes, settings, statistics),
        ),
        ("split_half", "attack", tables.agreement(clean, perturbations, null, units, settings, statistics)),
    ]
    for source, change in (("attack", perturbations), ("control", control)):
        maps = tables.estimated(clean, change, units, ESTIMATORS, settings, statistics)
        score = {"score": tables.scored(change, null, units, settings, statistics)}
        found += [
            ("maps", source, tables.map_rows(maps | score, units, statistics)),
            ("perturbation", source, tables.profile(change, maps, units, settings, statistics)),
            ("calibrated", source, tables.calibrated(change, null, units, settings, statistics)),
            ("phase", source, tables.phases(clean, change, units, settings, statistics)),
        ]
    parts: dict[str, list[pd.DataFrame]] = {}
    for name, source, table in found:
        table.insert(0, "source", source)
        parts.setdefault(name, []).append(table)
    return {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
