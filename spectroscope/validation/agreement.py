"""Agreement: do rankings of the bands agree, of two methods, and of all methods, runs, seeds or classes together?

Bands above DC are ranked by class curves: the mean over the images of a class, band by band, of one network. What is
computed from the ranks of a network is averaged over classes, then over networks. A class in which it is undefined
(all bands tied) is left out. Ranks go in steps: their intervals come from balanced weights of groups of images
(`estimates.balanced`). A class whose images lie in one group does not show how far others would move it: what rests on
it has no interval.
"""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from spectroscope.attribution.tables import band_columns
from spectroscope.statistics.cells import CELLS
from spectroscope.statistics.estimates import (
    Estimates,
    StatisticsSettings,
    balanced,
    balanced_weights,
    fold,
    grid,
    group_names,
    ratio,
    summary,
)
from spectroscope.validation.curves import class_curves, clusters_of, groups_of_images, numbers

W_BOUNDS = (0.0, 1.0)  # of Kendall's W


def pairwise(run: str, values: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings) -> pd.DataFrame:
    """Do two methods rank the bands alike? Rows method, other, run, then SUMMARY.

    Spearman's rank correlation of two class curves, averaged over classes, for every pair of methods.
    """
    ranks = _ranks(values, clusters, settings)
    pairs = list(combinations(ranks, 2))
    if not pairs:
        return pd.DataFrame()
    rho = np.stack([correlation(ranks[one], ranks[other]) for one, other in pairs], -1)
    front = pd.DataFrame(pairs, columns=["method", "other"]).assign(run=run)
    return front.assign(**summary(mean_over_classes(rho, _n_images(values), (-1, 1)), settings))


def concordance(values: dict[str, pd.DataFrame], clusters: np.ndarray, settings: StatisticsSettings) -> pd.DataFrame:
    """Kendall's W (coefficient of concordance) of several rankings of the bands; values: a table for each run.

    Rows run, method, across, raters (number of rankings), then SUMMARY, CELLS; a single ranking has no row. across:
    `methods`: of a network, averaged over classes and networks. `classes`: of a network and method, averaged over
    networks. `seeds`: the networks of a run and method are the raters, averaged over classes; the interval is over
    images, for these networks alone. `runs`: of a method, the i-th networks of every run are the raters, averaged over
    classes and i, as far as the run with the fewest networks goes.
    """
    ranks = {run: _ranks(table, clusters, settings) for run, table in values.items()}
    first, rows = next(iter(values.values())), []
    n_images, names = _n_images(first), _names(first, clusters, settings)
    for run, by_method in ranks.items():
        of_methods = mean_over_classes(kendall_w(np.stack(list(by_method.values())))[..., None], n_images, names=names)
        rows.append(_row(run, "all", "methods", len(by_method), of_methods, settings))
        for method, of_networks in by_method.items():
            across_seeds = mean_over_classes(kendall_w(of_networks)[None, ..., None], n_images, names=names)
            seeds = _row(run, method, "seeds", len(of_networks), across_seeds, settings)
            rows.append({**seeds, "n_seeds": len(of_networks)})
            w = kendall_w(np.moveaxis(of_networks, 2, 0))[..., None]
            n_classes = of_networks.shape[2]
            across_classes = balanced(w, n_images, W_BOUNDS, names)
            rows.append(_row(run, method, "classes", n_classes, across_classes, settings))
    for method in dict.fromkeys(name for by_method in ranks.values() for name in by_method):
        fewest = min(len(by_method[method]) for by_method in ranks.values())
        w = kendall_w(np.stack([by_method[method][:fewest] for by_method in ranks.values()]))[..., None]
        rows.append(_row("all", method, "runs", len(ranks), mean_over_classes(w, n_images, names=names), settings))
    return pd.DataFrame([row for row in rows if row["raters"] > 1])


def kendall_w(ranks: np.ndarray) -> np.ndarray:
    """Kendall's coefficient of concordance of m rankings of n things: (m, ..., n) -> (...), 0 to 1.

    The squared deviations of the summed ranks over the largest possible with these ties (Kendall & Gibbons 1990, ch.
    6), which is m times the sum of the squared deviations of every ranking. NaN where every ranking is one tie, or
    where a ranking is missing.
    """
    of_sum, of_each = (((r - r.mean(-1, keepdims=True)) ** 2).sum(-1) for r in (ranks.sum(0), ranks))
    return ratio(of_sum, len(ranks) * of_each.sum(0))


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis (of ranks: Spearman's); NaN where one of the two is constant."""
    one, other = (x - x.mean(-1, keepdims=True) for x in (one, other))
    return ratio((one * other).sum(-1), np.sqrt((one**2).sum(-1) * (other**2).sum(-1)))


def mean_over_classes(
    replicates: np.ndarray,
    n_images: int,
    bounds: tuple[float, float] = W_BOUNDS,
    names: np.ndarray | None = None,
) -> Estimates:
    """Estimates of the mean over classes, from replicates at `balanced_weights`, (S, R, C, K).

    The classes of a network are those with a value on all images. A replicate that lacks one of them is NaN: a mean
    over the others would be another statistic.
    """
    there = np.isfinite(replicates[:, :1])  # (S, 1, C, K)
    total = np.where(there, replicates, 0.0).sum(2)  # NaN where a class that is there has no value in a replicate
    return balanced(ratio(total, there.sum(2) + np.zeros(total.shape)), n_images, bounds, names)


def _ranks(values: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings) -> dict[str, np.ndarray]:
    """Ranks of the bands above DC by each method, of each network at `balanced_weights`: {method: (S, R, C, B - 1)}.

    NaN in all but the first for a class whose images lie in one group.
    """
    ranks = {}
    for method, table in values.groupby("method", sort=False):
        groups, labels = groups_of_images(table, clusters, settings)
        curves = class_curves(grid(table, band_columns(table)[1:]), labels, balanced_weights(groups))
        ranks[method] = rankdata(curves, axis=-1)
        folded = fold(groups)
        in_one_group = [len(set(folded[labels == label])) == 1 for label in np.unique(labels)]
        ranks[method][:, 1:, in_one_group] = np.nan
    return ranks


def _names(values: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings) -> np.ndarray:
    """Names of the groups of images behind `balanced_weights`; values: of one run, whose methods share the images."""
    _, table = next(iter(values.groupby("method", sort=False)))
    groups, _ = groups_of_images(table, clusters, settings)
    return group_names(fold(groups), clusters_of(table, clusters))


def _n_images(values: pd.DataFrame) -> int:
    return values["image"].nunique()


def _row(
    run: str, method: str, across: str, raters: int, estimates: Estimates, settings: StatisticsSettings
) -> dict[str, Any]:
    """A row of `concordance`."""
    front = {"run": run, "method": method, "across": across, "raters": raters}
    return {**front, **numbers(summary(estimates, settings)), CELLS: estimates}
