"""Accuracy of each run on each set of images (clean, attacked, filtered to a band), overall and by class."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from spectroscope.findings.tables import Finding
from spectroscope.statistics import cells, estimates
from spectroscope.statistics.estimates import StatisticsSettings, grid, means, per_image


def accuracies(predictions: pd.DataFrame, runs: list[str]) -> list[Finding]:
    """Accuracy of each run on each named set of images.

    predictions: run, seed, name, image, label, cluster, right.
    """
    return [
        Finding(run, name, means(grid(rows, ["right"]), per_image(rows, "cluster"), share=True))
        for run, name, rows in _cells(predictions, runs)
    ]


def table(predictions: pd.DataFrame, runs: list[str], column: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Accuracies as rows run, `column` (the name of the set of images), clean, SUMMARY, cells.

    clean: accuracy without attack on exactly the images of the row; no column where `predictions` has no set `clean`.
    """
    clean = {run: rows for run, name, rows in _cells(predictions, runs) if name == "clean"}
    found = []
    for run, name, rows in _cells(predictions, runs):
        front: dict[str, object] = {"run": run, column: name}
        if run in clean:
            same = clean[run][clean[run]["image"].isin(rows["image"])]
            complete = same["image"].nunique() == rows["image"].nunique()
            front["clean"] = same["right"].mean() if complete else np.nan
        right = means(grid(rows, ["right"]), per_image(rows, "cluster"), share=True)
        found.append(cells.rows(front, right, settings))
    return pd.concat(found, ignore_index=True)


def class_accuracies(
    predictions: pd.DataFrame, runs: list[str], classes: list[str], settings: StatisticsSettings
) -> pd.DataFrame:
    """Accuracy by class that has images: run, attack, class, SUMMARY. A class in one cluster has no interval."""
    found = []
    for run, attack, rows in _cells(predictions, runs):
        for number, of_class in rows.groupby("label"):
            values = means(grid(of_class, ["right"]), per_image(of_class, "cluster"), share=True)
            cell = {"run": run, "attack": attack, "class": classes[int(number)]}
            found.append(pd.DataFrame({**cell, **estimates.summary(values, settings)}))
    return pd.concat(found, ignore_index=True)


def at_chance(predictions: pd.DataFrame, runs: list[str], n_classes: int, settings: StatisticsSettings) -> list[str]:
    """Runs whose accuracy on clean images is no better than chance, 1 / classes: what they rely on means nothing.

    No better: the interval over images, for these networks alone, holds chance or lies below it.
    """
    found = []
    for run, name, rows in _cells(predictions, runs):
        if name == "clean":
            values = grid(rows, ["right"]).mean(0, keepdims=True)  # as one network: their mean
            row = estimates.summary(means(values, per_image(rows, "cluster"), share=True), settings)
            low = row["mean"] if np.isnan(row["low"][0]) else row["low"]  # images of one cluster have no interval
            found += [run] if low[0] <= 1 / n_classes else []
    return found


def _cells(predictions: pd.DataFrame, runs: list[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for (run, name), rows in predictions.groupby(["run", "name"], sort=False):
        if run in runs:
            yield run, name, rows
