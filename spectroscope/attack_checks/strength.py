"""How strong the attacks of a study are: success, success by number of queries, and success inside a band.

Success is a share of the images that the network classifies right, which alone are attacked. Every row of a table ends
in SUMMARY, with a bootstrap interval over seeds and images.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings

SUMMARY = ["mean", "low", "high", "n_images", "n_seeds"]
CURVE_POINTS = 16  # query budgets of a curve


class Cell(NamedTuple):
    """One attack on one run; without a ball norm and eps are None.

    stream: the position of the run, as in `bootstrap.counts`. outcomes: a row for each seed and image.
    """

    run: str
    stream: int
    outcomes: pd.DataFrame
    attack: str
    entry: str
    variant: str
    kind: str
    norm: str | None
    eps: float | None

    def in_ball(self, norm: str, radius: float) -> bool:
        """Whether the attack stays in this ball."""
        return self.norm == norm and self.eps is not None and bool(np.isclose(self.eps, radius))


def cells(outcomes: dict[tuple[str, str], pd.DataFrame], described: pd.DataFrame, runs: list[str]) -> list[Cell]:
    """The cells of a study in the order of runs and attacks, from outcomes by (run, attack) and `describe`'s table."""
    attacks = described[["attack", "entry", "variant", "kind", "norm", "eps"]].astype(object)
    rows = attacks.where(attacks.notna(), None).to_dict("records")
    numbered = [(stream, run, row) for stream, run in enumerate(runs) for row in rows]
    return [Cell(run, stream, outcomes[run, row["attack"]], **row) for stream, run, row in numbered]


def success_table(cells: list[Cell], statistics: StatisticsSettings) -> pd.DataFrame:
    """run, attack, kind, norm, eps, l2, queries: success of each attack; l2 and queries: medians over successes."""
    table = []
    for cell in cells:
        fooled = cell.outcomes[cell.outcomes["success"]]
        row = {"run": cell.run, "attack": cell.attack, "kind": cell.kind, "norm": cell.norm, "eps": cell.eps}
        row |= {"l2": fooled["l2"].median(), "queries": fooled["queries_to_success"].median()}
        success = among_right(cell.outcomes, cell.outcomes["success"])
        table.append({**row, **summarise(success, cell.stream, statistics)[0]})
    return pd.DataFrame(table)


def query_table(cells: list[Cell], statistics: StatisticsSettings) -> pd.DataFrame:
    """run, attack, queries: success of black boxes within a budget of queries, a geometric grid up to the largest."""
    table = []
    for cell in cells:
        rows = cell.outcomes
        if cell.kind != "black box" or not rows["queries"].max():
            continue
        budgets = np.unique(np.geomspace(1, rows["queries"].max(), CURVE_POINTS).round().astype(int))
        within = [rows["success"] & (rows["queries_to_success"] <= budget) for budget in budgets]
        shares = summarise(among_right(rows, *within), cell.stream, statistics)
        for budget, share in zip(budgets, shares, strict=True):
            table.append({"run": cell.run, "attack": cell.attack, "queries": budget, **share})
    return pd.DataFrame(table, columns=["run", "attack", "queries", *SUMMARY])


def confined_table(cells: list[Cell], relied: pd.DataFrame, statistics: StatisticsSettings) -> pd.DataFrame:
    """run, entry, band, norm, l2, relied: success of attacks confined to a band, at an l2 norm that bands share.

    In the l2 ball that norm is its radius. In another ball the l2 norm differs from band to band: a success counts
    where it is at most the smallest of the bands' median l2 norms, over all runs. relied: the mean over networks of
    `relied_on` (rows run, entry, variant, relied).
    """
    drops = relied.groupby(["run", "entry", "variant"])["relied"].mean()
    balls: dict[tuple[str, str | None, float | None], list[Cell]] = {}
    for cell in cells:
        if cell.kind == "confined" and cell.variant:
            balls.setdefault((cell.entry, cell.norm, cell.eps), []).append(cell)
    table = []
    for (entry, norm, eps), bands in balls.items():
        norms = [cell.outcomes.loc[cell.outcomes["success"], "l2"] for cell in bands]
        medians = pd.Series([l2.median() for l2 in norms], dtype=norms[0].dtype)  # l2 is compared in its own precision
        radius = eps if eps is not None and norm == "l2" else medians.min()
        for cell in bands:
            within = cell.outcomes["success"] & (cell.outcomes["l2"] <= radius * (1 + 1e-5))
            (share,) = summarise(among_right(cell.outcomes, within), cell.stream, statistics)
            row = {"run": cell.run, "entry": entry, "band": cell.variant, "norm": norm, "l2": radius}
            table.append({**row, "relied": drops[cell.run, entry, cell.variant], **share})
    return pd.DataFrame(table, columns=["run", "entry", "band", "norm", "l2", "relied", *SUMMARY])


def among_right(outcomes: pd.DataFrame, *values: pd.Series) -> np.ndarray:
    """Values of each seed and image, NaN where the network was wrong before: (seeds, images, values)."""
    right = outcomes["before"] == outcomes["label"]
    columns = {str(number): value.astype(float).where(right) for number, value in enumerate(values)}
    return bootstrap.grid(outcomes[["seed", "image"]].assign(**columns), list(columns))


def summarise(values: np.ndarray, stream: int, statistics: StatisticsSettings) -> list[dict[str, float | int]]:
    """SUMMARY of each of K values (seeds, images, K); n_images: those with a value for at least one seed."""
    point, drawn, _ = bootstrap.means(values, statistics, stream)
    shape = (len(values), int(np.isfinite(values).all(2).any(0).sum()))
    return pd.DataFrame(bootstrap.summary(point, drawn, shape, statistics)).to_dict("records")
