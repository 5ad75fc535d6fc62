"""Reliance of each run on frequencies: class curves of Occluded Frequency and their summaries, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spectroscope import bootstrap
from spectroscope.attribution.summaries import centroid, class_mean, hf_share, missing_shares, sums
from spectroscope.bootstrap import StatisticsSettings, grid, labels
from spectroscope.findings.tables import Finding


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
        low, high = bootstrap.interval(class_mean(self.drawn), settings)
        mean = class_mean(self.curves)
        rows = pd.DataFrame({"run": self.run, "shell": range(len(mean)), "mean": mean, "low": low, "high": high})
        return rows.assign(n_images=self.shape[1], n_seeds=self.shape[0])

    def class_rows(self, classes: list[str], settings: StatisticsSettings) -> pd.DataFrame:
        """The same for each class: run, class, shell, mean, low, high, n."""
        low, high = bootstrap.interval(self.drawn, settings)
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
    values, groups = grid(attribution, shells), bootstrap.by_class(labels(attribution), n_classes)
    drawn = bootstrap.draws(values, groups, settings, stream)
    counted = np.isfinite(values).all(2).any(0)
    class_sizes = groups[counted].sum(0).astype(int)
    shape = (len(values), int(counted.sum()))
    return Reliance(run, bootstrap.estimate(values, groups), drawn, shape, class_sizes)
