"""Choices: does the difference between two runs keep its sign under every combination of analysis choices?"""

from collections.abc import Iterator

import pandas as pd

from spectroscope.attribution.summaries import centroid, hf_share
from spectroscope.statistics.bootstrap import Means, StatisticsSettings, grid, means, summary

NORMALISATIONS = ("raw", "per_coefficient", "per_energy")
CHOICES = ["basis", "shape", "baseline", "score", "clip"]


def contrasts(
    tables: dict[str, pd.DataFrame], bands: pd.DataFrame, hf_from: float, reference: str, settings: StatisticsSettings
) -> pd.DataFrame:
    """Every run minus the reference under every combination of choices; tables: the multiverse of each run.

    Rows: run, reference, the five choices, normalisation (raw, per_coefficient, per_energy: divided by the size or mean
    energy of the band), statistic (hf_share, centroid), mean, low, high, n_images, n_seeds.
    """
    summaries = {
        run: dict(_summaries(stream, table, bands, hf_from, settings))
        for stream, (run, table) in enumerate(tables.items())
    }
    rows = []
    for run, cells in summaries.items():
        if run == reference:
            continue
        for key, (point, drawn, shape) in cells.items():
            base = summaries[reference][key]
            front = dict(zip([*CHOICES, "normalisation", "statistic"], key, strict=True))
            figures = summary(point - base.point, drawn - base.drawn, shape, settings)
            rows.append({"run": run, "reference": reference, **front, **figures})
    return pd.DataFrame(rows)


def signs(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Agreement of the choices: run, statistic, n_choices, median, same_sign (share of the majority's sign), sure.

    sure: share of the choices whose interval leaves out 0.
    """
    rows = []
    if contrasts.empty:
        return contrasts
    for (run, statistic), table in contrasts.groupby(["run", "statistic"], sort=False):
        defined = table.dropna(subset=["mean"])
        positive = (defined["mean"] > 0).mean()
        sure = ((defined["low"] > 0) | (defined["high"] < 0)).mean()
        cell = {"run": run, "statistic": statistic, "n_choices": len(defined), "median": defined["mean"].median()}
        rows.append({**cell, "same_sign": max(positive, 1 - positive), "sure": sure})
    return pd.DataFrame(rows)


def _summaries(
    stream: int, table: pd.DataFrame, bands: pd.DataFrame, hf_from: float, settings: StatisticsSettings
) -> Iterator[tuple[tuple, Means]]:
    """Both summaries of each combination, by (*choices, normalisation, statistic)."""
    for key, part in table.groupby(CHOICES, sort=False):
        rows = bands[(bands["basis"] == key[0]) & (bands["shape"] == key[1])].sort_values("band")
        rows = rows.drop_duplicates("band")
        position = rows["position"].to_numpy()
        point, drawn, shape = means(grid(part, [f"band_{k}" for k in range(len(rows))]), settings, stream)
        size, energy = rows["size"].to_numpy(), rows["energy"].to_numpy()
        weights = {"raw": 1.0, "per_coefficient": 1 / size, "per_energy": 1 / energy}
        for name in NORMALISATIONS:
            curve, curves = point * weights[name], drawn * weights[name]
            shares = hf_share(curve, position, hf_from), hf_share(curves, position, hf_from)
            yield (*key, name, "hf_share"), Means(*shares, shape)
            yield (*key, name, "centroid"), Means(centroid(curve, position), centroid(curves, position), shape)
