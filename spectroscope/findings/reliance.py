"""Reliance of runs on frequencies: curves of Occluded Frequency, their summaries, and what is lost without whole bands.

A summary is computed from the class means of one network, then averaged over networks. A sum is in points of the
label's probability; a shape (centroid, high-frequency share) is that of the margin, and that of the logit (paper mode)
beside it: a logit has no common unit, and a shape of it changes with what moves all logits of an image together.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from spectroscope.attribution import shell_bands, summaries
from spectroscope.findings.tables import Finding
from spectroscope.pipeline import files
from spectroscope.pipeline.arrays import Labels
from spectroscope.statistics import cells
from spectroscope.statistics.cells import MOST_NEGATIVE
from spectroscope.statistics.estimates import (
    SUMMARY,
    Estimates,
    StatisticsSettings,
    from_replicates,
    grid,
    group_names,
    image_groups,
    means,
    per_image,
    ratio,
    summary,
)

SHAPE = ("centroid", "centroid_abs", "negative_share", "hf_share", "class_negative")
STATISTICS = {  # of each score, as of `summaries.shell_summaries`
    "margin": SHAPE,
    "probability": ("dc", "low_sum", "mid_sum", "high_sum", "negative_share"),
    "logit": SHAPE,
}
NEGATIVE = {"centroid": "negative_share", "hf_share": "class_negative"}  # the negative mass that each leaves out
NO_FINDINGS = ("centroid_abs", "negative_share", "class_negative")  # they stand beside a centroid and are not compared
TABLES = {
    "occluded_frequency": ["run", "score", "shell", "at_chance"],
    "class_occluded_frequency": ["run", "score", "class", "shell"],
    "reliance": ["run", "score", "statistic", "marked", "n_missing"],
    "band_loss": ["run", "band", "change", "measure", "energy"],
}


@dataclass(frozen=True)
class ClassCurves:
    """Class means of one run by one score: of each network (S, 1 + G, classes, bands), all images first, then without
    each group of them in turn. NaN for a class without images.

    edges (bands, 2): first and last shell of each band. n_images: that count for at least one network; class_sizes
    (classes,): the same by class. groups (G,): their names.
    """

    run: str
    score: str
    replicates: np.ndarray
    edges: np.ndarray
    n_images: int
    class_sizes: np.ndarray
    groups: np.ndarray


def of_runs(
    folders: dict[str, Path],
    test: Labels,
    images: str,
    hf_from: float,
    at_chance: list[str],
    statistics: StatisticsSettings,
) -> tuple[list[Finding], dict[str, pd.DataFrame]]:
    """What is reported of reliance: the statistics that differences are taken of, and tables by the names in TABLES.

    folders: of the stage `attribution`, for each run. images, hf_from: of its settings. at_chance: runs whose curves
    alone are reported.
    """
    classes, clusters = list(test.classes), test.clusters
    curves, losses = [], []
    for run, folder in folders.items():  # one table at a time: together they may not fit in memory
        drops = files.read_table(folder / "occluded_frequency.parquet")
        curves += [
            class_curves(run, str(score), rows, len(classes), clusters, images, statistics)
            for score, rows in drops.groupby("score", sort=False)
        ]
        if run not in at_chance:
            losses.append(band_loss(run, files.read_table(folder / "band_loss.parquet"), clusters, statistics))
    compared = [each for each in curves if each.run not in at_chance]
    relied, findings = reliance(compared, hf_from, statistics)
    found = {
        "occluded_frequency": [
            _rows(shell_estimates(each), statistics, shell=_shells(each)).assign(
                run=each.run, score=each.score, at_chance=each.run in at_chance
            )
            for each in curves
        ],
        "class_occluded_frequency": [by_class(each, classes, statistics) for each in curves],
        "reliance": [relied],
        "band_loss": losses,
    }
    return findings, {name: _stacked(tables, TABLES[name]) for name, tables in found.items()}


def class_curves(
    run: str,
    score: str,
    drops: pd.DataFrame,
    n_classes: int,
    clusters: np.ndarray,
    images: str,
    statistics: StatisticsSettings,
) -> ClassCurves:
    """Class curves of a run's drops of one score; images: `all`, or the `correct` ones of each network."""
    bands = [column for column in drops if column.startswith(shell_bands.PREFIX)]
    if images == "correct":
        drops = drops.copy()
        drops.loc[~drops["right"], bands] = np.nan
    values, labels = grid(drops, bands), per_image(drops, "label")
    own = clusters[per_image(drops, "image")]
    groups = image_groups(own, labels, statistics.groups)
    counts = np.isfinite(values).all(2)  # (S, I)
    of_class = (labels[:, None] == np.arange(n_classes)).astype(float)  # (I, classes)
    sums, numbers = [], []
    for group in range(int(groups.max()) + 1):
        inside = groups == group
        filled = np.where(counts[:, inside, None], values[:, inside], 0.0)
        sums.append(np.einsum("sik,ic->sck", filled, of_class[inside], optimize=True))
        numbers.append(counts[:, inside].astype(float) @ of_class[inside])  # (S, classes)
    total, number = sum(sums), sum(numbers)
    kept = [(total, number), *((total - s, number - n) for s, n in zip(sums, numbers, strict=True))]
    replicates = np.stack([ratio(s, np.broadcast_to(n[:, :, None], s.shape)) for s, n in kept], axis=1)
    counted = counts.any(0)
    sizes = of_class[counted].sum(0).astype(int)
    edges, names = shell_bands.edges(bands), group_names(groups, own)
    return ClassCurves(run, score, replicates, edges, int(counted.sum()), sizes, names)


def shell_estimates(curves: ClassCurves) -> Estimates:
    """Mean over classes of each band of shells (Wang et al. 2020, Fig. 1, averaged): K bands."""
    mean = np.where(_vanishing(curves)[:, :, None], np.nan, summaries.class_mean(curves.replicates, 2))
    return from_replicates(mean, curves.n_images)


def _vanishing(curves: ClassCurves) -> np.ndarray:
    """Replicates that lack a class which the network has with all images, (S, 1 + G): of other classes, so NaN."""
    there = np.isfinite(curves.replicates).all(3)
    return (there[:, :1] & ~there).any(2)


def by_class(curves: ClassCurves, classes: list[str], statistics: StatisticsSettings) -> pd.DataFrame:
    """The curve of each class that has images: run, score, class, shell, SUMMARY."""
    flat = curves.replicates.reshape(*curves.replicates.shape[:2], -1)
    number, band = np.indices(curves.replicates.shape[2:]).reshape(2, -1)
    rows = _rows(from_replicates(flat, curves.n_images), statistics, shell=_shells(curves)[band])
    rows = rows.assign(run=curves.run, score=curves.score, n_images=curves.class_sizes[number])
    return rows.assign(**{"class": np.array(classes)[number]}).dropna(subset=["mean"])


def reliance(
    runs: list[ClassCurves], hf_from: float, statistics: StatisticsSettings
) -> tuple[pd.DataFrame, list[Finding]]:
    """Statistics of every run and score: rows run, score, statistic, marked, n_missing, SUMMARY; and the findings.

    A finding is named by both, as `centroid by margin`.

    A class without a high-frequency share in any network of any run by a score is left out of that share in all runs,
    which are else compared on other classes; n_missing: how many. marked: more than MOST_NEGATIVE of what the statistic
    is computed from is negative (NEGATIVE), so that it is no centre of reliance; it is then no finding.
    """
    tables, findings = [], []
    for curves in runs:
        same_score = [each for each in runs if each.score == curves.score]
        has_share = np.logical_and.reduce(
            [
                np.isfinite(summaries.class_shares(each.replicates[:, 0], each.edges, hf_from)).all(0)
                for each in same_score
            ]
        )
        statistic = summaries.shell_summaries(curves.replicates, curves.edges, hf_from, has_share)
        shares = summaries.class_shares(curves.replicates, curves.edges, hf_from)[:, :, has_share]
        lost, lost_share = _vanishing(curves), ~np.isfinite(shares).all(2)
        statistic = {
            name: np.where(lost | (lost_share & (name in ("hf_share", "class_negative"))), np.nan, values)
            for name, values in statistic.items()
        }
        for name in STATISTICS[curves.score]:
            replicates, bounds = statistic[name][:, :, None], _bounds(name, curves)
            estimates = from_replicates(replicates, curves.n_images, bounds=bounds, names=curves.groups)
            missing = int((~has_share).sum()) if name in ("hf_share", "class_negative") else 0
            negative = statistic[NEGATIVE[name]][:, 0] if name in NEGATIVE else np.zeros(1)
            marked = not summaries.class_mean(negative, 0) <= MOST_NEGATIVE  # the networks' mean; NaN has none either
            cell = {"statistic": name, "marked": marked, "n_missing": missing}
            tables.append(cells.rows({"run": curves.run, "score": curves.score, **cell}, estimates, statistics))
            if name not in NO_FINDINGS and not marked:
                findings.append(Finding(curves.run, f"{name} by {curves.score}", estimates, missing))
    return _stacked(tables, TABLES["reliance"]), findings


def band_loss(run: str, rows: pd.DataFrame, clusters: np.ndarray, statistics: StatisticsSettings) -> pd.DataFrame:
    """Lost without whole bands, signed: run, band, change, measure, energy (share removed), SUMMARY.

    measure: `accuracy`, or `probability` of the label; in shares of 1.
    """
    tables = []
    rows = rows.assign(accuracy=rows["right"].astype(float) - rows["right_after"].astype(float))
    for (band, change), cell in rows.groupby(["band", "change"], sort=False):
        values = grid(cell.rename(columns={"lost": "probability"}), ["accuracy", "probability"])
        estimates = means(values, clusters[per_image(cell, "image")])
        front = {"run": run, "band": band, "change": change, "measure": ["accuracy", "probability"]}
        tables.append(cells.rows({**front, "energy": cell["energy"].mean()}, estimates, statistics))
    return _stacked(tables, TABLES["band_loss"])


def _bounds(name: str, curves: ClassCurves) -> tuple[float, float] | None:
    """Between which a statistic lies, if any."""
    if name.endswith(("_share", "_negative")):
        return 0.0, 1.0
    shell = _shells(curves)
    return (float(shell[1]), float(shell[-1])) if name.startswith("centroid") else None  # DC has no part in a centroid


def _shells(curves: ClassCurves) -> np.ndarray:
    """Mean shell of each band."""
    return shell_bands.mean_shells(curves.edges)


def _rows(estimates: Estimates, statistics: StatisticsSettings, **front: object) -> pd.DataFrame:
    return pd.DataFrame({**front, **summary(estimates, statistics)})


def _stacked(tables: list[pd.DataFrame], front: list[str]) -> pd.DataFrame:
    """Tables one below the other, with a header where there is none."""
    columns = [*front, *SUMMARY]
    if not tables:
        return pd.DataFrame(columns=columns)
    stacked = pd.concat(tables, ignore_index=True)
    return stacked[[name for name in (*columns, cells.CELLS) if name in stacked]]
