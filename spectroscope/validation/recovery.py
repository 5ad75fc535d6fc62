"""Recovery: does each method name the frequencies of a planted cue, and does removing what it names hurt?"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from spectroscope.attribution.compare import band_columns
from spectroscope.dataset.planted import PlantedSettings
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.statistics.bootstrap import StatisticsSettings
from spectroscope.validation.tables import compared_positions

Positions = list[tuple[float, float]]


def planted_positions(dataset: DatasetSettings) -> Positions:
    """Lowest and highest position (`partitions.positions`) of each planted cue; none for other data sets."""
    if not isinstance(dataset, PlantedSettings):
        return []
    return [(cue.low / dataset.size, (cue.high - 1) / dataset.size) for cue in dataset.cues]


def recovery(
    run: str,
    values: pd.DataFrame,
    bands: pd.DataFrame,
    interventions: pd.DataFrame,
    planted: Positions,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """One row for each method; no rows where nothing is planted.

    run, method, hurt_named (accuracy lost without the named band), hurt_other (without an equal energy of the others),
    hurts_more (share of seeds where the former is larger), mean (share of seeds whose top band above DC is planted),
    low, high (Clopper-Pearson over seeds), n_images, n_seeds. planted: as of `planted_positions`; a band is planted
    where its position lies within a cue.
    """
    if not planted:
        return pd.DataFrame()
    accuracy = interventions.groupby(["seed", "band"])[["right", "right_without", "right_other"]].mean()
    hurt = -accuracy[["right_without", "right_other"]].sub(accuracy["right"], axis=0)
    rows = []
    for method, table in values.groupby("method", sort=False):
        position = compared_positions(bands, table)
        truth = [band for band, at in enumerate(position) if any(low <= at <= high for low, high in planted)]
        mean = table.groupby("seed")[band_columns(table)[1:]].mean()
        named = mean.to_numpy().argmax(1) + 1
        lost = np.array([hurt.loc[(seed, band)].to_numpy() for seed, band in zip(mean.index, named, strict=True)])
        hits = int(np.isin(named, truth).sum())
        interval = binomtest(hits, len(named)).proportion_ci(settings.confidence, "exact")
        cell = {"hurt_named": lost[:, 0].mean(), "hurt_other": lost[:, 1].mean()}
        cell |= {"hurts_more": (lost[:, 0] > lost[:, 1]).mean(), "mean": hits / len(named)}
        cell |= {"low": interval.low, "high": interval.high}
        n = {"n_images": table["image"].nunique(), "n_seeds": len(named)}
        rows.append({"run": run, "method": method, **cell, **n})
    return pd.DataFrame(rows)
