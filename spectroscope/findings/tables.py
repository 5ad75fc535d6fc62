"""Findings (a number of a run with its bootstrap draws) and the tables made of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings


@dataclass(frozen=True)
class Finding:
    """One statistic of one run with its bootstrap draws (resamples,), so that two runs can be subtracted."""

    run: str
    statistic: str
    point: float
    drawn: np.ndarray
    shape: tuple[int, ...]  # seeds, images
    n_missing: int = 0


def summaries(findings: list[Finding], settings: StatisticsSettings) -> pd.DataFrame:
    """One row for each finding: run, statistic, mean, low, high, n_images, n_seeds, n_missing."""
    return pd.DataFrame(
        {
            "run": finding.run,
            "statistic": finding.statistic,
            **bootstrap.summary(finding.point, finding.drawn, finding.shape, settings),
            "n_missing": finding.n_missing,
        }
        for finding in findings
    )


def contrasts(findings: list[Finding], reference: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Each run minus the reference run: run, reference, statistic, mean, low, high, n_images, n_seeds.

    Statistics that the reference lacks have no row. ValueError for an unknown reference.
    """
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
        rows.append({**cell, **bootstrap.summary(point, drawn, finding.shape, settings)})
    columns = ["run", "reference", "statistic", "mean", "low", "high", "n_images", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)  # a study of one run has a table with a header and no rows


def by_run(summaries: pd.DataFrame) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """A table of `summaries` as run -> statistic -> figures; a missing figure is None, never NaN (JSON has none)."""
    figures = summaries.drop(columns=["run", "statistic"]).astype(object)
    figures = figures.where(figures.notna(), None)
    nested: dict = {run: {} for run in summaries["run"]}
    cells = zip(summaries["run"], summaries["statistic"], figures.to_dict("records"), strict=True)
    for run, statistic, row in cells:
        nested[run][statistic] = row
    return nested
