"""Do rankings of the bands agree: of two measures, and of all measures, runs, seeds or classes together?

What is ranked are class curves: the mean over the images of a class, band by band above DC. Every row ends in mean,
low, high, n_images, n_seeds.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from spectroscope import bootstrap
from spectroscope.bootstrap import StatisticsSettings, grid, labels


def agreement(run: str, stream: int, values: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """Do two measures rank the bands alike? Rows method, other, mean, low, high, n, run.

    Spearman's rank correlation of two class curves, averaged over classes, for every pair.
    """
    ranks, shape = _of_methods(values, settings, stream)
    rows = []
    for one, other in combinations(ranks, 2):
        found = class_mean(correlation(ranks[one], ranks[other]))
        rows.append({"method": one, "other": other, **bootstrap.summary(found[0], found[1:], shape, settings)})
    return pd.DataFrame(rows).assign(run=run) if rows else pd.DataFrame()


def concordance(values: dict[str, pd.DataFrame], settings: StatisticsSettings) -> pd.DataFrame:
    """Kendall's W of everything that could rank alike: rows run, method, across, raters, mean, low, high, n.

    across `measures` (of a run, averaged over classes), `seeds` (of a run and measure, likewise), `classes` (of a run
    and measure) and `runs` (of a measure, averaged over classes); raters: how many rank. Those of one kind alone have
    no row. Intervals are over seeds and images, across seeds over images alone.
    """
    found = {run: _of_methods(table, settings, stream) for stream, (run, table) in enumerate(values.items())}
    rows = []
    for run, (ranks, shape) in found.items():
        rows.append(_row(run, "all", "measures", np.stack(list(ranks.values())), shape, settings))
        for method, of_classes in ranks.items():
            part = values[run][values[run]["method"] == method]
            rows.append(_row(run, method, "seeds", _of_seeds(part, settings), shape, settings))
            by_class = np.moveaxis(of_classes, 1, 0)[:, :, None]  # (classes, draws, 1, bands)
            rows.append(_row(run, method, "classes", by_class, shape, settings))
    for method in dict.fromkeys(name for ranks, _ in found.values() for name in ranks):
        runs = [ranks[method] for ranks, _ in found.values()]
        rows.append(_row("all", method, "runs", np.stack(runs), next(iter(found.values()))[1], settings))
    return pd.DataFrame([row for row in rows if row["raters"] > 1])


def kendall_w(ranks: np.ndarray) -> np.ndarray:
    """Kendall's coefficient of concordance of m rankings of n things: (m, ..., n) -> (...), 0 to 1.

    The squared deviations of the summed ranks over the most they can be with these ties (Kendall & Gibbons 1990, ch.
    6): m times those of all rankings. NaN where every ranking is one tie.
    """
    total = ranks.sum(0)
    spread, each = (((part - part.mean(-1, keepdims=True)) ** 2).sum(-1) for part in (total, ranks))
    return ratio(spread, len(ranks) * each.sum(0))


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis, of ranks Spearman's; NaN where one is constant."""
    one, other = (each - each.mean(-1, keepdims=True) for each in (one, other))
    return ratio((one * other).sum(-1), np.sqrt((one**2).sum(-1) * (other**2).sum(-1)))


def class_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is there."""
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0.0).sum(-1), there.sum(-1))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where the denominator is zero."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def bands(table: pd.DataFrame) -> list[str]:
    """The columns of a table's bands."""
    return [name for name in table if name.startswith("band_")]


def _of_methods(values: pd.DataFrame, settings: StatisticsSettings, stream: int) -> tuple[dict, tuple[int, ...]]:
    """Ranks of each measure's bands, the estimate first and then its draws: {method: (1 + draws, classes, B - 1)}."""
    ranks, shape = {}, ()
    for method, part in values.groupby("method", sort=False):
        array, groups = _curves(part)
        shape = array.shape
        both = np.concatenate(
            [bootstrap.estimate(array, groups)[None], bootstrap.draws(array, groups, settings, stream)]
        )
        ranks[method] = rankdata(both, axis=-1, nan_policy="omit")
    return ranks, shape


def _of_seeds(part: pd.DataFrame, settings: StatisticsSettings) -> np.ndarray:
    """The same for each network of one measure, images drawn alone: (seeds, 1 + draws, classes, B - 1)."""
    array, groups = _curves(part)
    _, image_counts = bootstrap.counts(1, array.shape[1], settings, 0)
    image_counts = np.concatenate([np.ones((1, array.shape[1])), image_counts])
    once = np.ones((len(image_counts), 1))
    means = [bootstrap.group_means(array[[seed]], groups, once, image_counts) for seed in range(len(array))]
    return rankdata(np.stack(means), axis=-1, nan_policy="omit")


def _curves(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Values above DC (seeds, images, B - 1), and the classes that have images (images, classes)."""
    groups = bootstrap.by_class(labels(part), int(part["label"].max()) + 1)
    return grid(part, bands(part)[1:]), groups[:, groups.sum(0) > 0]


def _row(
    run: str, method: str, across: str, ranks: np.ndarray, shape: tuple[int, ...], settings: StatisticsSettings
) -> dict:
    """One W: ranks (raters, draws, classes, bands)."""
    found = class_mean(kendall_w(ranks))
    cell = {"run": run, "method": method, "across": across, "raters": len(ranks)}
    return {**cell, **bootstrap.summary(found[0], found[1:], shape, settings)}
