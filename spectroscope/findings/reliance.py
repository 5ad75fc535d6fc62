"""Reliance of each run on frequencies: class curves of Occluded Frequency and their summaries, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spectroscope.attribution.summaries import class_mean, class_shares, shell_summaries
from spectroscope.findings.tables import Finding
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings, grid, labels


@dataclass(frozen=True)
class Reliance:
    """Occluded Frequency of one run: class means (classes, shells) and their draws (resamples, classes, shells)."""

    run: str
    curves: np.ndarray
    drawn: np.ndarray
    shape: tuple[int, ...]  # seeds, images
    class_sizes: np.ndarray


def reliance(
    run: str, stream: int, attribution: pd.DataFrame, n_classes: int, images: str, settings: StatisticsSettings
) -> Reliance:
    """Class curves of a run's table of Occluded Frequency; images: `all`, or the `correct` ones of each seed.

    n_images counts the images that are correct for at least one seed.
    """
    shells = [column for column in attribution if column.startswith("shell_")]
    if images == "correct":
        attribution = attribution.copy()
        attribution.loc[~attribution["right"], shells] = np.nan
    values, groups = grid(attribution, shells), bootstrap.by_class(labels(attribution), n_classes)
    drawn = bootstrap.draws(values, groups, settings, stream)
    counted = np.isfinite(values).all(2).any(0)
    class_sizes = groups[counted].sum(0).astype(int)
    shape = (len(values), int(counted.sum()))
    return Reliance(run, bootstrap.estimate(values, groups), drawn, shape, class_sizes)


def shell_curve(reliance: Reliance, settings: StatisticsSettings) -> pd.DataFrame:
    """Mean over classes of each shell (Wang et al. 2020, Fig. 1, averaged): run, shell, mean, low, high, n."""
    mean, drawn = class_mean(reliance.curves, -2), class_mean(reliance.drawn, -2)
    figures = bootstrap.summary(mean, drawn, reliance.shape, settings)
    return pd.DataFrame({"run": reliance.run, "shell": range(len(mean)), **figures})


def class_curves(reliance: Reliance, classes: list[str], settings: StatisticsSettings) -> pd.DataFrame:
    """The curve of each class that has images: run, class, shell, mean, low, high, n_images, n_seeds."""
    number, shell = np.indices(reliance.curves.shape).reshape(2, -1)
    figures = bootstrap.summary(reliance.curves, reliance.drawn, reliance.shape, settings)
    rows = pd.DataFrame({"run": reliance.run, "class": np.array(classes)[number], "shell": shell, **figures})
    return rows.assign(n_images=reliance.class_sizes[number]).dropna()


def reliance_findings(reliance: Reliance, hf_from: float) -> list[Finding]:
    """The statistics of `summaries.shell_summaries`; n_missing of hf_share: classes that have no share."""
    points, drawn = shell_summaries(reliance.curves, hf_from), shell_summaries(reliance.drawn, hf_from)
    missing = {"hf_share": int(np.isnan(class_shares(reliance.curves, hf_from)).sum())}
    return [
        Finding(reliance.run, name, float(point), drawn[name], reliance.shape, missing.get(name, 0))
        for name, point in points.items()
    ]
