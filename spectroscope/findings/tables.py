"""Findings (one statistic of one run) and the tables made of them."""

from dataclasses import dataclass

import pandas as pd

from spectroscope.statistics import estimates
from spectroscope.statistics.estimates import SUMMARY, Estimates, StatisticsSettings


@dataclass(frozen=True)
class Finding:
    """One statistic of one run, for each of its networks (K = 1), so that two runs can be subtracted.

    n_missing: classes without a value, which are left out.
    """

    run: str
    statistic: str
    estimates: Estimates
    n_missing: int = 0


def summaries(findings: list[Finding], settings: StatisticsSettings) -> pd.DataFrame:
    """One row for each finding: run, statistic, n_missing, SUMMARY."""
    rows = [
        pd.DataFrame(
            {
                "run": finding.run,
                "statistic": finding.statistic,
                "n_missing": finding.n_missing,
                **estimates.summary(finding.estimates, settings),
            }
        )
        for finding in findings
    ]
    columns = ["run", "statistic", "n_missing", *SUMMARY]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def contrasts(findings: list[Finding], reference: str, settings: StatisticsSettings) -> pd.DataFrame:
    """Each run minus the reference run on the same images: run, reference, statistic, SUMMARY.

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
        rows.append(pd.DataFrame({**cell, **estimates.difference(finding.estimates, base.estimates, settings)}))
    columns = ["run", "reference", "statistic", *SUMMARY]
    # a study of one run has a table with a header and no rows
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
