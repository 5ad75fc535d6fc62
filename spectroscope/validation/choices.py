"""Choices: does the difference between two runs keep its sign under every combination of analysis choices?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from spectroscope.attribution.summaries import centroid, hf_share
from spectroscope.statistics.estimates import Estimates, StatisticsSettings, difference, from_replicates, grid
from spectroscope.validation.curves import groups_of_images, mean_curves

NORMALISATIONS = ("raw", "per_coefficient", "per_energy")
STATISTICS = ("hf_share", "centroid")
CHOICES = ["basis", "shape", "baseline", "score", "clip"]


def contrasts(
    tables: dict[str, pd.DataFrame],
    bands: pd.DataFrame,
    hf_from: float,
    reference: str,
    clusters: np.ndarray,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """Every run minus the reference under every combination of choices; tables: the multiverse of each run.

    Rows: run, reference, the five choices, normalisation (raw, per_coefficient, per_energy: divided by the size or mean
    energy of the band), statistic (hf_share, centroid), then SUMMARY. bands: of the multiverse, as `multiverse_bands`
    describes them. Both statistics are those of each network's own mean curve.
    """
    found = {run: dict(_summaries(table, bands, hf_from, clusters, settings)) for run, table in tables.items()}
    rows = []
    for run, cells in found.items():
        if run == reference:
            continue
        for key, estimates in cells.items():
            front = {"run": run, "reference": reference, **dict(zip([*CHOICES, "normalisation"], key, strict=True))}
            figures = difference(estimates, found[reference][key], settings)
            rows.append(pd.DataFrame({**front, "statistic": STATISTICS, **figures}))
    return pd.concat(rows or [pd.DataFrame()], ignore_index=True)


def signs(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the choices: run, statistic, n_choices, median, same_sign (share of the majority's sign), sure.

    sure: share of the choices whose interval leaves out 0; NaN where no choice has an interval (two networks).
    """
    rows = []
    if contrasts.empty:
        return contrasts
    for (run, statistic), table in contrasts.groupby(["run", "statistic"], sort=False):
        defined = table.dropna(subset=["mean"])
        positive = (defined["mean"] > 0).mean()
        sure = ((defined["low"] > 0) | (defined["high"] < 0)).mean() if defined["low"].notna().any() else np.nan
        cell = {"run": run, "statistic": statistic, "n_choices": len(defined), "median": defined["mean"].median()}
        rows.append({**cell, "same_sign": max(positive, 1 - positive), "sure": sure})
    return pd.DataFrame(rows)


def _summaries(
    table: pd.DataFrame, bands: pd.DataFrame, hf_from: float, clusters: np.ndarray, settings: StatisticsSettings
) -> Iterator[tuple[tuple, Estimates]]:
    """STATISTICS of each combination, by (*choices, normalisation)."""
    for key, part in table.groupby(CHOICES, sort=False):
        rows = bands[(bands["basis"] == key[0]) & (bands["shape"] == key[1])].sort_values("band")
        rows = rows.drop_duplicates("band")
        position = rows["position"].to_numpy()
        groups, _ = groups_of_images(part, clusters, settings)
        curves = mean_curves(grid(part, [f"band_{k}" for k in range(len(rows))]), groups)
        size, energy = rows["size"].to_numpy(), rows["energy"].to_numpy()
        weights = {"raw": 1.0, "per_coefficient": 1 / size, "per_energy": 1 / energy}
        for name in NORMALISATIONS:
            weighted = curves * weights[name]
            both = np.stack([hf_share(weighted, position, hf_from), centroid(weighted, position)], -1)
            yield (*key, name), from_replicates(both, len(groups))
