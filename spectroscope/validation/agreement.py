"""Agreement: do rankings of the bands agree, of two methods, and of all methods, runs, seeds or classes together?

Bands above DC are ranked by class curves: the mean over the images of a class, band by band. Every row ends in mean,
low, high, n_images, n_seeds.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from spectroscope.attribution.compare import band_columns
from spectroscope.attribution.summaries import class_mean
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings, ratio


def pairwise(run: str, stream: int, values: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """Do two methods rank the bands alike? Rows method, other, mean, low, high, n_images, n_seeds, run.

    Spearman's rank correlation of two class curves, averaged over classes, for every pair of methods.
    """
    ranks, shape = _ranks(values, settings, stream)
    rows = []
    for one, other in combinations(ranks, 2):
        rho = class_mean(correlation(ranks[one], ranks[other]), -1)
        rows.append({"method": one, "other": other, **bootstrap.summary(rho[0], rho[1:], shape, settings)})
    return pd.DataFrame(rows).assign(run=run) if rows else pd.DataFrame()


def concordance(values: dict[str, pd.DataFrame], settings: StatisticsSettings) -> pd.DataFrame:
    """Kendall's W (coefficient of concordance) of several rankings of the bands; values: a table for each run.

    Rows run, method, across, raters (number of rankings), mean, low, high, n_images, n_seeds. across: `measures` (the
    methods of a run, averaged over classes), `seeds` (of a run and method, likewise), `classes` (of a run and method)
    and `runs` (of a method, averaged over classes); a single ranking has no row. Intervals are over seeds and images,
    across seeds over images alone.
    """
    ranks = {run: _ranks(table, settings, stream) for stream, (run, table) in enumerate(values.items())}
    rows = []
    for run, (by_method, shape) in ranks.items():
        rows.append(_w_row(run, "all", "measures", np.stack(list(by_method.values())), shape, settings))
        for method, of_classes in by_method.items():
            table = values[run][values[run]["method"] == method]
            rows.append(_w_row(run, method, "seeds", _seed_ranks(table, settings), shape, settings))
            by_class = np.moveaxis(of_classes, 1, 0)[:, :, None]  # (classes, draws, 1, bands)
            rows.append(_w_row(run, method, "classes", by_class, shape, settings))
    _, shape = next(iter(ranks.values()))
    for method in dict.fromkeys(name for by_method, _ in ranks.values() for name in by_method):
        of_runs = np.stack([by_method[method] for by_method, _ in ranks.values()])
        rows.append(_w_row("all", method, "runs", of_runs, shape, settings))
    return pd.DataFrame([row for row in rows if row["raters"] > 1])


def kendall_w(ranks: np.ndarray) -> np.ndarray:
    """Kendall's coefficient of concordance of m rankings of n things: (m, ..., n) -> (...), 0 to 1.

    The squared deviations of the summed ranks over the largest possible with these ties (Kendall & Gibbons 1990, ch.
    6), which is m times the sum of the squared deviations of every ranking. NaN where every ranking is one tie.
    """
    of_sum, of_each = (((r - r.mean(-1, keepdims=True)) ** 2).sum(-1) for r in (ranks.sum(0), ranks))
    return ratio(of_sum, len(ranks) * of_each.sum(0))


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis (of ranks: Spearman's); NaN where one of the two is constant."""
    one, other = (x - x.mean(-1, keepdims=True) for x in (one, other))
    return ratio((one * other).sum(-1), np.sqrt((one**2).sum(-1) * (other**2).sum(-1)))


def _ranks(
    values: pd.DataFrame, settings: StatisticsSettings, stream: int
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """Ranks of the bands above DC by each method, and the shape (seeds, images, B - 1) of the ranked values.

    {method: (1 + draws, classes, B - 1)}: of the estimate first, then of its bootstrap draws.
    """
    ranks: dict[str, np.ndarray] = {}
    shape: tuple[int, ...] = ()
    for method, table in values.groupby("method", sort=False):
        curves, groups = _curves(table)
        shape = curves.shape
        drawn = bootstrap.draws(curves, groups, settings, stream)
        both = np.concatenate([bootstrap.estimate(curves, groups)[None], drawn])
        ranks[method] = rankdata(both, axis=-1, nan_policy="omit")
    return ranks, shape


def _seed_ranks(table: pd.DataFrame, settings: StatisticsSettings) -> np.ndarray:
    """Ranks for each network of one method, images alone drawn: (seeds, 1 + draws, classes, B - 1)."""
    curves, groups = _curves(table)
    _, image_counts = bootstrap.counts(1, curves.shape[1], settings, 0)
    image_counts = np.concatenate([np.ones((1, curves.shape[1])), image_counts])
    once = np.ones((len(image_counts), 1))
    means = [bootstrap.group_means(curves[[seed]], groups, once, image_counts) for seed in range(len(curves))]
    return rankdata(np.stack(means), axis=-1, nan_policy="omit")


def _curves(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Values above DC (seeds, images, B - 1), and the classes that have images (images, classes)."""
    groups = bootstrap.by_class(bootstrap.labels(table), int(table["label"].max()) + 1)
    return bootstrap.grid(table, band_columns(table)[1:]), groups[:, groups.sum(0) > 0]


def _w_row(
    run: str, method: str, across: str, ranks: np.ndarray, shape: tuple[int, ...], settings: StatisticsSettings
) -> dict:
    """Kendall's W of ranks (raters, draws, classes, bands), averaged over classes."""
    w = class_mean(kendall_w(ranks), -1)
    cell = {"run": run, "method": method, "across": across, "raters": len(ranks)}
    return {**cell, **bootstrap.summary(w[0], w[1:], shape, settings)}
