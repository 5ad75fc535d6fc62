"""Findings as tables: one number of one run with its bootstrap draws, differences between runs, metrics."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spectroscope import bootstrap as stats
from spectroscope.bootstrap import StatisticsSettings


@dataclass(frozen=True)
class Finding:
    """One number of one run with its bootstrap draws (resamples,), so that two runs can be subtracted."""

    run: str
    statistic: str
    point: float
    drawn: np.ndarray
    shape: tuple[int, ...]  # seeds, images
    n_missing: int = 0


def contrasts(findings: list[Finding], reference: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Each run minus the reference run, measure by measure: run, reference, measure, mean, low, high, n."""
    known = dict.fromkeys(finding.run for finding in findings)
    if reference not in known:
        raise ValueError(f"findings.reference: expected a run among {', '.join(known)}, got {reference!r}")
    of_reference = {finding.statistic: finding for finding in findings if finding.run == reference}
    rows = []
    for finding in findings:
        base = of_reference.get(finding.statistic)
        if finding.run == reference or base is None:
            continue
        cell = {"run": finding.run, "reference": reference, "statistic": finding.statistic}
        point, drawn = finding.point - base.point, finding.drawn - base.drawn
        rows.append({**cell, **stats.summary(point, drawn, finding.shape, settings)})
    columns = ["run", "reference", "statistic", "mean", "low", "high", "n_images", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)  # a header also where there is only one run


def rows(findings: list[Finding], settings: StatisticsSettings) -> pd.DataFrame:
    """Findings as a table: run, measure, mean, low, high, n_images, n_seeds, n_missing."""
    return pd.DataFrame(
        {
            "run": finding.run,
            "statistic": finding.statistic,
            **stats.summary(finding.point, finding.drawn, finding.shape, settings),
            "n_missing": finding.n_missing,
        }
        for finding in findings
    )


def metrics(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """A table of `rows` as nested run -> measure -> figures; what does not exist is None, never NaN."""
    figures = table.drop(columns=["run", "statistic"]).astype(object)
    figures = figures.where(figures.notna(), None)
    nested: dict = {run: {} for run in table["run"]}
    for run, measure, row in zip(table["run"], table["statistic"], figures.to_dict("records"), strict=True):
        nested[run][measure] = row
    return nested
