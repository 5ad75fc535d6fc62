"""Accuracy of each run on each set of images (an attack's, or filtered to a band), overall and by class.

Intervals are a bootstrap over seeds and images; the place of a run among all picks its stream of drawn seeds.
"""

import pandas as pd

from spectroscope.findings.tables import Finding, summaries
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings, grid, labels


def accuracies(predictions: pd.DataFrame, runs: list[str], settings: StatisticsSettings) -> list[Finding]:
    """Accuracy of each run on each named set of images; predictions: run, seed, name, image, label, right."""
    findings = []
    for (run, name), rows in _cells(predictions, runs):
        point, drawn, shape = bootstrap.means(grid(rows, ["right"]), settings, runs.index(run))
        findings.append(Finding(run, name, point[0], drawn[:, 0], shape))
    return findings


def table(findings: list[Finding], column: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Accuracies as rows run, `column` (the name of the set of images), mean, low, high, n_images, n_seeds."""
    return summaries(findings, settings).drop(columns="n_missing").rename(columns={"statistic": column})


def class_accuracies(
    predictions: pd.DataFrame, runs: list[str], classes: list[str], settings: StatisticsSettings
) -> pd.DataFrame:
    """Accuracy by class that has images: run, attack, class, mean, low, high, n_images, n_seeds."""
    found = []
    for (run, attack), rows in _cells(predictions, runs):
        values, groups = grid(rows, ["right"]), bootstrap.by_class(labels(rows), len(classes))
        point, drawn = bootstrap.estimate(values, groups), bootstrap.draws(values, groups, settings, runs.index(run))
        for number, label in enumerate(classes):
            n_images = int(groups[:, number].sum())
            if n_images:
                cell = {"run": run, "attack": attack, "class": label}
                shape = (values.shape[0], n_images)
                found.append({**cell, **bootstrap.summary(point[number, 0], drawn[:, number, 0], shape, settings)})
    return pd.DataFrame(found)


def _cells(predictions: pd.DataFrame, runs: list[str]) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    cells = predictions.groupby(["run", "name"], sort=False)
    return [(key, rows) for key, rows in cells if key[0] in runs]
