"""How strong the attacks of a study are: success, success by number of queries, median norms, success inside a band.

Success is a share of the images that the network classifies right, which alone are attacked. A share is computed for
each network and averaged over networks. Every row of a table ends in SUMMARY.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from spectroscope.statistics import cells as behind
from spectroscope.statistics import estimates
from spectroscope.statistics.estimates import SUMMARY, Estimates, StatisticsSettings

CURVE_POINTS = 16  # query budgets of a curve
MEDIAN_NORM = ["median_l2", "median_l2_low", "median_l2_high"]


class Cell(NamedTuple):
    """One attack on one run; without a ball norm and eps are None.

    outcomes: a row for each seed and image. clusters: of each attacked image, in the order of its index.
    """

    run: str
    outcomes: pd.DataFrame
    clusters: np.ndarray
    attack: str
    entry: str
    variant: str
    kind: str
    norm: str | None
    eps: float | None

    def in_ball(self, norm: str, radius: float) -> bool:
        """Whether the attack stays in this ball."""
        return self.norm == norm and self.eps is not None and bool(np.isclose(self.eps, radius))

    def share(self, *successes: pd.Series) -> Estimates:
        """Share of the images that a network had right in which it is fooled, for each of K criteria of success."""
        return estimates.means(among_right(self.outcomes, *successes), self.clusters, share=True)


def cells(
    outcomes: dict[tuple[str, str], pd.DataFrame], described: pd.DataFrame, runs: list[str], clusters: np.ndarray
) -> list[Cell]:
    """The cells of a study in the order of runs and attacks, from outcomes by (run, attack) and `describe`'s table.

    clusters (N,): of the test images, by their index.
    """
    attacks = described[["attack", "entry", "variant", "kind", "norm", "eps"]].astype(object)
    rows = attacks.where(attacks.notna(), None).to_dict("records")
    found = []
    for run, row in [(run, row) for run in runs for row in rows]:
        table = outcomes[run, row["attack"]]
        found.append(Cell(run, table, clusters[estimates.per_image(table, "image")], **row))
    return found


def success_table(cells: list[Cell], statistics: StatisticsSettings) -> pd.DataFrame:
    """run, attack, kind, norm, eps, l2, linf, queries, median_l2 with its interval, clean, n_attacked: one row a cell.

    l2, linf, queries: medians over the successes of all networks. median_l2, median_l2_low, median_l2_high: see
    `median_norm`, for attacks without a ball, whose norm is their result. clean: accuracy without an attack on exactly
    the n_attacked images that the attack ran on. mean to networks: success.
    """
    table = []
    for cell in cells:
        fooled, whole = cell.outcomes[cell.outcomes["success"]], cell.outcomes
        row = {"run": cell.run, "attack": cell.attack, "kind": cell.kind, "norm": cell.norm, "eps": cell.eps}
        row |= {"l2": fooled["l2"].median(), "linf": fooled["linf"].median()}
        row |= {"queries": fooled["queries_to_success"].median()}
        row |= median_norm(cell, statistics) if cell.eps is None else dict.fromkeys(MEDIAN_NORM, math.nan)
        right = (whole["before"] == whole["label"]).groupby(whole["seed"]).mean()
        row |= {"clean": right.mean(), "n_attacked": len(cell.clusters)}
        table.append({**row, **summarise(cell.share(whole["success"]), statistics)[0]})
    return pd.DataFrame(table)


def median_norm(cell: Cell, statistics: StatisticsSettings) -> dict[str, float]:
    """Median l2 norm over the images that a network had right, a failure counted as infinite: MEDIAN_NORM.

    The median of each network (see `estimates.medians`), averaged over networks. NaN where the attack fails on half of
    a network's images or more; no interval where it does so without one of the groups.
    """
    norms = cell.outcomes["l2"].where(cell.outcomes["success"], math.inf)
    labels = estimates.per_image(cell.outcomes, "label")
    medians = estimates.medians(among_right(cell.outcomes, norms), cell.clusters, labels)
    if np.isinf(medians.by_network).any():
        return dict.fromkeys(MEDIAN_NORM, math.nan)
    (found,) = summarise(medians, statistics)
    return dict(zip(MEDIAN_NORM, (found["mean"], found["low"], found["high"]), strict=True))


def query_table(cells: list[Cell], statistics: StatisticsSettings) -> pd.DataFrame:
    """run, attack, queries: success of black boxes within a budget of queries, a geometric grid up to the largest."""
    table = []
    for cell in cells:
        rows = cell.outcomes
        if cell.kind != "black box" or not rows["queries"].max():
            continue
        budgets = np.unique(np.geomspace(1, rows["queries"].max(), CURVE_POINTS).round().astype(int))
        within = [rows["success"] & (rows["queries_to_success"] <= budget) for budget in budgets]
        for budget, share in zip(budgets, summarise(cell.share(*within), statistics), strict=True):
            table.append({"run": cell.run, "attack": cell.attack, "queries": budget, **share})
    return pd.DataFrame(table, columns=["run", "attack", "queries", *SUMMARY])


def confined_table(cells: list[Cell], relied: pd.DataFrame, statistics: StatisticsSettings) -> pd.DataFrame:
    """run, entry, band, coefficients, norm, l2, relied: success of attacks in a band, at an l2 norm that bands share.

    In the l2 ball that norm is its radius. In another ball the l2 norm differs from band to band: a success counts
    where it is at most the smallest of the bands' median l2 norms, over all runs. relied: the mean over networks of
    `relied_on` (rows run, entry, variant, coefficients, relied).
    """
    bands_of_entries = relied.groupby(["run", "entry", "variant"])
    drops, sizes = bands_of_entries["relied"].mean(), bands_of_entries["coefficients"].first()
    confined = set(zip(relied["entry"], relied["variant"], strict=True))
    balls: dict[tuple[str, str | None, float | None], list[Cell]] = {}
    for cell in cells:
        if (cell.entry, cell.variant) in confined:
            balls.setdefault((cell.entry, cell.norm, cell.eps), []).append(cell)
    table = []
    for (entry, norm, eps), bands in balls.items():
        norms = [cell.outcomes.loc[cell.outcomes["success"], "l2"] for cell in bands]
        medians = pd.Series([l2.median() for l2 in norms], dtype=norms[0].dtype)  # l2 is compared in its own precision
        radius = eps if eps is not None and norm == "l2" else medians.min()
        for cell in bands:
            within = cell.outcomes["success"] & (cell.outcomes["l2"] <= radius * (1 + 1e-5))
            (share,) = summarise(cell.share(within), statistics)
            key = cell.run, entry, cell.variant
            row = {"run": cell.run, "entry": entry, "band": cell.variant, "coefficients": sizes[key]}
            table.append({**row, "norm": norm, "l2": radius, "relied": drops[key], **share})
    columns = ["run", "entry", "band", "coefficients", "norm", "l2", "relied", *SUMMARY, behind.CELLS]
    return pd.DataFrame(table, columns=columns)


def among_right(outcomes: pd.DataFrame, *values: pd.Series) -> np.ndarray:
    """Values of each seed and image, NaN where the network was wrong before: (seeds, images, values)."""
    right = outcomes["before"] == outcomes["label"]
    columns = {str(number): value.astype(float).where(right) for number, value in enumerate(values)}
    return estimates.grid(outcomes[["seed", "image"]].assign(**columns), list(columns))


def summarise(found: Estimates, statistics: StatisticsSettings) -> list[dict[str, Any]]:
    """SUMMARY of each of K statistics, and the estimates behind it (`cells`)."""
    return behind.rows({}, found, statistics).to_dict("records")
