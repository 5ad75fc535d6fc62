"""Recovery: does each method name the frequencies of a planted cue, and does removing what it names hurt?"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from spectroscope.attribution.tables import band_columns
from spectroscope.pipeline import params
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation.tables import compared_positions

Positions = list[tuple[float, float]]


def planted_positions(dataset: dict[str, Any]) -> Positions:
    """Position of the lowest and of the highest shell of each planted cue; none for other data sets.

    dataset: the section of params.yaml, whose class would import torch for every data set.
    """
    if dataset["name"] != "planted":
        return []
    from spectroscope.dataset.planted import PlantedSettings
    from spectroscope.frequency.partitions import positions
    from spectroscope.frequency.spectrum import shells

    planted = params.validate(dataset, PlantedSettings, "dataset")
    of_shell = positions(shells(planted.size, planted.size), "dct").tolist()
    return [(of_shell[cue.low], of_shell[cue.high - 1]) for cue in planted.cues]


def recovery(
    runs: dict[str, dict[str, pd.DataFrame]], permuted: list[str], planted: Positions, settings: StatisticsSettings
) -> pd.DataFrame:
    """One row for each run and method; no rows where nothing is planted.

    runs: the tables values, bands and interventions of each. permuted: the runs trained on permuted labels, the
    control: there is nothing to find in them. planted: as of `planted_positions`; a band is planted where its position
    lies within a cue.

    run, method, labels (`original` or `permuted`), hurt_named (accuracy lost without the named band), hurt_other
    (without an equal energy of the others), hurts_more (share of networks where the former is larger), chance (planted
    bands over bands, without DC), p (that chance hits in at least as many networks: exact binomial, one-sided), control
    and control_p (mean and p of the method in the networks of the permuted runs; NaN in their own rows, or without such
    a run), then SUMMARY: mean is the share of networks whose top band above DC is planted, its interval Clopper and
    Pearson's over networks.
    """
    if not planted:
        return pd.DataFrame()
    tables = [_of_run(run, read, "permuted" if run in permuted else "original", planted) for run, read in runs.items()]
    named = pd.concat(tables, ignore_index=True)
    of_control = {method: rows["hit"] for method, rows in named[named["labels"] == "permuted"].groupby("method")}
    rows = []
    for (run, method), networks in named.groupby(["run", "method"], sort=False):
        labels, chance = networks[["labels", "chance"]].iloc[0]
        control = {"control": np.nan, "control_p": np.nan}
        if labels == "original" and method in of_control:
            control = {"control": of_control[method].mean(), "control_p": _p(of_control[method], chance)}
        found, of = int(networks["hit"].sum()), len(networks)
        low, high = binomtest(found, of).proportion_ci(settings.confidence, "exact")
        cell = {"run": run, "method": method, "labels": labels}
        cell |= networks[["hurt_named", "hurt_other"]].mean().to_dict()
        cell |= {"hurts_more": (networks["hurt_named"] > networks["hurt_other"]).mean()}
        cell |= {"chance": chance, "p": _p(networks["hit"], chance)}
        cell |= control | {"mean": found / of, "low": low, "high": high, "n_images": networks["n_images"].iloc[0]}
        by_network = " ".join(str(int(hit)) for hit in networks["hit"])
        rows.append({**cell, "n_seeds": of, "networks": by_network})
    return pd.DataFrame(rows)


def _of_run(run: str, read: dict[str, pd.DataFrame], labels: str, planted: Positions) -> pd.DataFrame:
    """What each method names in each network: run, labels, method, chance, hit, hurt_named, hurt_other, n_images."""
    accuracy = read["interventions"].groupby(["seed", "band"])[["right", "right_without", "right_other"]].mean()
    hurt = -accuracy[["right_without", "right_other"]].sub(accuracy["right"], axis=0)
    rows = []
    for method, table in read["values"].groupby("method", sort=False):
        position = compared_positions(read["bands"], table)
        truth = [band for band, at in enumerate(position) if any(low <= at <= high for low, high in planted)]
        mean = table.groupby("seed")[band_columns(table)[1:]].mean()
        chance, n_images = len(truth) / (len(position) - 1), table["image"].nunique()
        for seed, named in zip(mean.index, mean.to_numpy().argmax(1) + 1, strict=True):
            front = {"run": run, "labels": labels, "method": method, "chance": chance, "hit": named in truth}
            lost = dict(zip(("hurt_named", "hurt_other"), hurt.loc[(seed, named)], strict=True))
            rows.append({**front, **lost, "n_images": n_images})
    return pd.DataFrame(rows)


def _p(hits: pd.Series, chance: float) -> float:
    """Probability that chance alone hits in at least as many networks: one-sided, exact binomial."""
    return float(binomtest(int(hits.sum()), len(hits), chance, alternative="greater").pvalue)
