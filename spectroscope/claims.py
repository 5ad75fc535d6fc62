"""What a study found: accuracy, reliance on frequencies, and their differences between runs, with intervals.

Tables in, tables out. Every row ends in mean, low, high, n_images, n_seeds; the interval is a bootstrap over seeds and
images (`stats`). Runs are numbered in the order given: the number picks the stream of drawn seeds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spectroscope import stats
from spectroscope.stats import StatisticsSettings
from spectroscope.summaries import centroid, class_mean, hf_share, missing_shares, sums


@dataclass(frozen=True)
class Finding:
    """One number of one run with its bootstrap draws (resamples,), so that two runs can be subtracted."""

    run: str
    measure: str
    point: float
    drawn: np.ndarray
    shape: tuple[int, ...]  # seeds, images
    n_missing: int = 0


def accuracies(predictions: pd.DataFrame, runs: list[str], settings: StatisticsSettings) -> list[Finding]:
    """Accuracy of each run on each named set of images; predictions: run, seed, name, image, label, right."""
    findings = []
    for (run, name), part in _cells(predictions, runs):
        values = grid(part, ["right"])
        groups = stats.everything(values.shape[1])
        point, drawn = stats.estimate(values, groups), stats.draws(values, groups, settings, runs.index(run))
        findings.append(Finding(run, name, point[0, 0], drawn[:, 0, 0], values.shape))
    return findings


def class_accuracies(
    predictions: pd.DataFrame, runs: list[str], classes: list[str], settings: StatisticsSettings
) -> pd.DataFrame:
    """The same by class: run, attack, class, mean, low, high, n_images, n_seeds (classes without images left out)."""
    rows = []
    for (run, attack), part in _cells(predictions, runs):
        values, groups = grid(part, ["right"]), stats.by_class(labels(part), len(classes))
        point, drawn = stats.estimate(values, groups), stats.draws(values, groups, settings, runs.index(run))
        for number, label in enumerate(classes):
            n_images = int(groups[:, number].sum())
            if n_images:
                cell = {"run": run, "attack": attack, "class": label}
                shape = (values.shape[0], n_images)
                rows.append({**cell, **stats.summary(point[number, 0], drawn[:, number, 0], shape, settings)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Reliance:
    """Occluded Frequency of one run: class means (classes, shells) and their draws (resamples, classes, shells)."""

    run: str
    curves: np.ndarray
    drawn: np.ndarray
    shape: tuple[int, ...]
    class_sizes: np.ndarray

    def shell_rows(self, settings: StatisticsSettings) -> pd.DataFrame:
        """Mean over classes of each shell (the paper's Fig. 1, averaged): run, shell, mean, low, high, n."""
        low, high = stats.interval(class_mean(self.drawn), settings)
        mean = class_mean(self.curves)
        rows = pd.DataFrame({"run": self.run, "shell": range(len(mean)), "mean": mean, "low": low, "high": high})
        return rows.assign(n_images=self.shape[1], n_seeds=self.shape[0])

    def class_rows(self, classes: list[str], settings: StatisticsSettings) -> pd.DataFrame:
        """The same for each class: run, class, shell, mean, low, high, n."""
        low, high = stats.interval(self.drawn, settings)
        name, shell = np.indices(self.curves.shape).reshape(2, -1)
        columns = {"mean": self.curves.ravel(), "low": low.ravel(), "high": high.ravel()}
        rows = pd.DataFrame({"run": self.run, "class": np.array(classes)[name], "shell": shell, **columns})
        return rows.assign(n_images=self.class_sizes[name], n_seeds=self.shape[0]).dropna()

    def findings(self, hf_from: float) -> list[Finding]:
        """Centroid, high-frequency share, and the sums of the mean curve over DC, low, middle and high shells."""
        points = {"centroid": centroid(self.curves), "hf_share": hf_share(self.curves, hf_from)}
        drawn = {"centroid": centroid(self.drawn), "hf_share": hf_share(self.drawn, hf_from)}
        points, drawn = points | sums(self.curves, hf_from), drawn | sums(self.drawn, hf_from)
        missing = {"hf_share": int(missing_shares(self.curves, hf_from))}
        return [
            Finding(self.run, name, float(point), drawn[name], self.shape, missing.get(name, 0))
            for name, point in points.items()
        ]


def reliance(
    run: str, stream: int, attribution: pd.DataFrame, n_classes: int, which: str, settings: StatisticsSettings
) -> Reliance:
    """Class curves of a run's Occluded Frequency table; which: `all` images or the `correct` ones of each seed.

    The n_images of what follows from it are those that count for at least one seed.
    """
    shells = [column for column in attribution if column.startswith("shell_")]
    if which == "correct":
        attribution = attribution.copy()
        attribution.loc[~attribution["right"], shells] = np.nan
    values, groups = grid(attribution, shells), stats.by_class(labels(attribution), n_classes)
    drawn = stats.draws(values, groups, settings, stream)
    counted = np.isfinite(values).all(2).any(0)
    class_sizes = groups[counted].sum(0).astype(int)
    shape = (len(values), int(counted.sum()))
    return Reliance(run, stats.estimate(values, groups), drawn, shape, class_sizes)


def contrasts(findings: list[Finding], settings: StatisticsSettings) -> pd.DataFrame:
    """Each run minus the reference run, measure by measure: run, reference, measure, mean, low, high, n."""
    known = dict.fromkeys(finding.run for finding in findings)
    if settings.reference not in known:
        raise ValueError(f"statistics.reference: expected a run among {', '.join(known)}, got {settings.reference!r}")
    of_reference = {finding.measure: finding for finding in findings if finding.run == settings.reference}
    rows = []
    for finding in findings:
        base = of_reference.get(finding.measure)
        if finding.run == settings.reference or base is None:
            continue
        cell = {"run": finding.run, "reference": settings.reference, "measure": finding.measure}
        point, drawn = finding.point - base.point, finding.drawn - base.drawn
        rows.append({**cell, **stats.summary(point, drawn, finding.shape, settings)})
    columns = ["run", "reference", "measure", "mean", "low", "high", "n_images", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)  # a header also where there is only one run


def rows(findings: list[Finding], settings: StatisticsSettings) -> pd.DataFrame:
    """Findings as a table: run, measure, mean, low, high, n_images, n_seeds, n_missing."""
    return pd.DataFrame(
        {
            "run": finding.run,
            "measure": finding.measure,
            **stats.summary(finding.point, finding.drawn, finding.shape, settings),
            "n_missing": finding.n_missing,
        }
        for finding in findings
    )


def metrics(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """A table of `rows` as nested run -> measure -> figures; what does not exist is None, never NaN."""
    figures = table.drop(columns=["run", "measure"]).astype(object)
    figures = figures.where(figures.notna(), None)
    nested: dict = {run: {} for run in table["run"]}
    for run, measure, row in zip(table["run"], table["measure"], figures.to_dict("records"), strict=True):
        nested[run][measure] = row
    return nested


def grid(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Rows (seed, image) as an array (seeds, images, columns); ValueError when a seed lacks an image."""
    table = table.sort_values(["seed", "image"])
    seeds, images = table["seed"].nunique(), table["image"].nunique()
    if len(table) != seeds * images or table.duplicated(["seed", "image"]).any():
        raise ValueError(f"expected every one of {seeds} seeds to have the same {images} images, got {len(table)} rows")
    return table[columns].to_numpy(float).reshape(seeds, images, len(columns))


def labels(table: pd.DataFrame) -> np.ndarray:
    """Label of each image, in the order of `grid`: (images,)."""
    return table.sort_values("image").drop_duplicates("image")["label"].to_numpy()


def _cells(predictions: pd.DataFrame, runs: list[str]) -> list:
    groups = dict(list(predictions.groupby(["run", "name"], sort=False)))
    return [(key, part) for key, part in groups.items() if key[0] in runs]
