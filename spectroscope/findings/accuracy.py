"""What a study found: accuracy, reliance on frequencies, and their differences between runs, with intervals.

Tables in, tables out. Every row ends in mean, low, high, n_images, n_seeds; the interval is a bootstrap over seeds and
images (`stats`). Runs are numbered in the order given: the number picks the stream of drawn seeds.
"""

import pandas as pd

from spectroscope import bootstrap
from spectroscope.bootstrap import StatisticsSettings, grid, labels
from spectroscope.findings.tables import Finding


def accuracies(predictions: pd.DataFrame, runs: list[str], settings: StatisticsSettings) -> list[Finding]:
    """Accuracy of each run on each named set of images; predictions: run, seed, name, image, label, right."""
    findings = []
    for (run, name), part in _cells(predictions, runs):
        values = grid(part, ["right"])
        groups = bootstrap.everything(values.shape[1])
        point, drawn = bootstrap.estimate(values, groups), bootstrap.draws(values, groups, settings, runs.index(run))
        findings.append(Finding(run, name, point[0, 0], drawn[:, 0, 0], values.shape))
    return findings


def class_accuracies(
    predictions: pd.DataFrame, runs: list[str], classes: list[str], settings: StatisticsSettings
) -> pd.DataFrame:
    """The same by class: run, attack, class, mean, low, high, n_images, n_seeds (classes without images left out)."""
    rows = []
    for (run, attack), part in _cells(predictions, runs):
        values, groups = grid(part, ["right"]), bootstrap.by_class(labels(part), len(classes))
        point, drawn = bootstrap.estimate(values, groups), bootstrap.draws(values, groups, settings, runs.index(run))
        for number, label in enumerate(classes):
            n_images = int(groups[:, number].sum())
            if n_images:
                cell = {"run": run, "attack": attack, "class": label}
                shape = (values.shape[0], n_images)
                rows.append({**cell, **bootstrap.summary(point[number, 0], drawn[:, number, 0], shape, settings)})
    return pd.DataFrame(rows)


def _cells(predictions: pd.DataFrame, runs: list[str]) -> list:
    groups = dict(list(predictions.groupby(["run", "name"], sort=False)))
    return [(key, part) for key, part in groups.items() if key[0] in runs]
