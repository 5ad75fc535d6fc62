"""Choices: does the difference between two runs keep its sign under every combination of analysis choices?

The statistics of each run under each combination (`by_choice`), and what follows from them for pairs of runs.
"""

import numpy as np
import pandas as pd

from spectroscope.attribution.summaries import centroid, hf_share, negative_share
from spectroscope.statistics.cells import CELLS, MOST_NEGATIVE, single, together
from spectroscope.statistics.estimates import (
    StatisticsSettings,
    difference,
    from_replicates,
    grid,
    group_names,
)
from spectroscope.validation.curves import clusters_of, groups_of_images, mean_curves

NORMALISATIONS = ("raw", "per_coefficient", "per_energy")
STATISTICS = ("hf_share", "centroid")
CHOICES = ["basis", "shape", "baseline", "score", "clip", "normalisation"]


def by_choice(
    tables: dict[str, pd.DataFrame],
    bands: pd.DataFrame,
    hf_from: float,
    clusters: np.ndarray,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """Statistics of every run under every combination of choices; tables: the multiverse of each run.

    Rows run, CHOICES (normalisation: raw, per_coefficient, per_energy: divided by the size or mean energy of the band),
    statistic (hf_share, centroid), marked, CELLS. bands: of the multiverse, as `multiverse_bands` describes them. Both
    statistics are those of each network's own mean curve. marked: more than MOST_NEGATIVE of that curve is negative, so
    that they stand for too little of it, or none of it is positive.
    """
    parts = [_of_run(table, bands, hf_from, clusters, settings).assign(run=run) for run, table in tables.items()]
    return pd.concat(parts, ignore_index=True)


def contrasts(found: pd.DataFrame, reference: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Every run minus the reference under every combination of choices; found: of `by_choice`.

    Rows: run, reference, CHOICES, statistic, marked (of one of the two runs), then SUMMARY.
    """
    by_run = dict(list(found.groupby("run", sort=False)))
    of_reference = by_run.pop(reference)
    less, reference_marked = together(of_reference[CELLS]), of_reference["marked"].to_numpy()
    rows = []
    for run, table in by_run.items():
        front = table[[*CHOICES, "statistic", "marked"]].reset_index(drop=True)
        front["marked"] |= reference_marked
        front.insert(0, "run", run)
        front.insert(1, "reference", reference)
        rows.append(front.assign(**difference(together(table[CELLS]), less, settings)))
    return pd.concat(rows or [pd.DataFrame()], ignore_index=True)


def signs(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the choices: run, statistic, n_choices, no_centre, median, same_sign, sure.

    n_choices: those that give both runs a centre; no_centre: the others. same_sign: share of the majority's sign.
    sure: share of the choices whose interval leaves out 0; NaN where no choice has an interval (two networks).
    """
    rows = []
    if contrasts.empty:
        return contrasts
    for (run, statistic), table in contrasts.groupby(["run", "statistic"], sort=False):
        defined = table[~table["marked"]].dropna(subset=["mean"])
        positive = (defined["mean"] > 0).mean()
        sure = ((defined["low"] > 0) | (defined["high"] < 0)).mean() if defined["low"].notna().any() else np.nan
        cell = {"run": run, "statistic": statistic, "n_choices": len(defined), "no_centre": len(table) - len(defined)}
        shares = {"same_sign": max(positive, 1 - positive), "sure": sure}
        rows.append({**cell, "median": defined["mean"].median(), **shares})
    return pd.DataFrame(rows)


def _of_run(
    table: pd.DataFrame, bands: pd.DataFrame, hf_from: float, clusters: np.ndarray, settings: StatisticsSettings
) -> pd.DataFrame:
    """`by_choice` of one run."""
    rows = []
    for key, part in table.groupby(CHOICES[:-1], sort=False):
        of_choice = bands[(bands["basis"] == key[0]) & (bands["shape"] == key[1])].sort_values("band")
        of_choice = of_choice.drop_duplicates("band")
        position = of_choice["position"].to_numpy()
        groups, _ = groups_of_images(part, clusters, settings)
        names = group_names(groups, clusters_of(part, clusters))
        curves = mean_curves(grid(part, [f"band_{k}" for k in range(len(of_choice))]), groups)
        size, energy = of_choice["size"].to_numpy(), of_choice["energy"].to_numpy()
        weights = {"raw": 1.0, "per_coefficient": 1 / size, "per_energy": 1 / energy}
        for name in NORMALISATIONS:
            weighted = curves * weights[name]
            both = np.stack([hf_share(weighted, position, hf_from), centroid(weighted, position)], -1)
            marked = not negative_share(weighted[:, 0]).mean() <= MOST_NEGATIVE  # NaN has no centre either
            cells = single(from_replicates(both, len(groups), names=names))
            front = dict(zip(CHOICES, (*key, name), strict=True))
            rows += [
                {**front, "statistic": statistic, "marked": marked, CELLS: each}
                for statistic, each in zip(STATISTICS, cells, strict=True)
            ]
    return pd.DataFrame(rows)
