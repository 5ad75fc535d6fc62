"""The effect that a claim is about, computed from the estimates behind the tables: its mean, and its ends at any level.

Rows of one run are paired by network and by image, rows of two runs by image (`estimates.align`). A correlation is over
runs: Spearman's, with Fisher's z and the standard error of Bonett & Wright (2000), sqrt((1 + r^2 / 2) / (n - 3)).
Of the differences under K choices of analysis the largest, or the smallest, is an effect too. The largest of K upper
ends holds it as often as one interval does, while K lower ends can each be too high: the lower one is the largest of
those at Bonferroni's level, 1 - (1 - confidence) / K. The smallest has it the other way round.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from spectroscope.claims.settings import (
    FEWEST_RUNS,
    NUMBERED,
    Correlation,
    Difference,
    Effect,
    Extreme,
    Statistic,
    Value,
)
from spectroscope.statistics import estimates, intervals
from spectroscope.statistics.cells import KEYS, Key, together
from spectroscope.statistics.estimates import Estimates, StatisticsSettings

Cells = dict[str, dict[Key, tuple[Estimates, str]]]  # as of `cells.read`
Parts = list[tuple[np.ndarray, np.ndarray]]  # variance due to images and to networks, each with its degrees of freedom
NO_ROW = {  # why a table has no row that the settings promise
    "reliance": "the run is at chance",
    "band_loss": "the run is at chance",
    "calibrated": "the attack fooled no image",
    "counterparts": "the table lacks the row",
    "margins": "the table lacks the row",
    "layers": "no network of the run has such a layer",
    "concordance": "the table lacks the row",
}


@dataclass(frozen=True)
class Measured:
    """An effect: its mean, and `ends` (confidence -> low, high), NaN where there is no interval.

    n_networks: of each run; n_runs: of a correlation. why: why the effect stands for nothing, or there is no interval;
    "" where all is well. parts: of the variance, where it has them. n_groups: of images. by_network: the effect of each
    network, of two runs that of each pair in the order of their seeds; empty where the runs differ in networks.
    choice: of analysis, that makes an effect extreme, and of how many.
    """

    mean: float
    ends: Callable[[float], tuple[float, float]]
    n_networks: int
    n_images: int
    n_groups: int = 0
    n_runs: int = 0
    why: str = ""
    parts: Parts | None = None
    by_network: tuple[float, ...] = ()
    choice: str = ""


def measure(effect: Effect, cells: Cells, settings: StatisticsSettings) -> Measured:
    """The effect in the cells of a study. A row that is missing or stands for nothing says so; it is no error."""
    if isinstance(effect, Extreme):
        return over_choices(effect, cells, settings)
    return of_rows(effect, cells, settings) if isinstance(effect, Difference) else over_runs(effect, cells)


def of_rows(effect: Difference, cells: Cells, settings: StatisticsSettings) -> Measured:
    """A row of a table, or a difference of two."""
    one, why = _row(cells, effect.table, effect.where)
    if one is None:
        return _nothing(why)
    if effect.less is None:
        alone = one
        return _measured(one, why, lambda level: estimates.summary(alone, _at(settings, level)), [one.cells])
    other, why_other = _row(cells, effect.table, {**effect.where, **effect.less})
    if other is None:
        return _nothing(why_other)
    why = why or why_other
    one, other = estimates.align(one, other)
    if effect.less.get("run", effect.where["run"]) != effect.where["run"]:
        pair = one, other
        found = _measured(
            one,
            why,
            lambda level: estimates.difference(*pair, _at(settings, level)),
            [one.cells, other.cells],
        )
        return replace(
            found, n_networks=min(found.n_networks, _n_networks(other)), by_network=_pairs(one.by_network, other)
        )
    if len(one.by_network) != len(other.by_network):
        return _nothing("the attack fooled no image of some network")
    less = estimates.subtract(one, other)
    return _measured(less, why, lambda level: estimates.summary(less, _at(settings, level)), [less.cells])


def over_choices(effect: Extreme, cells: Cells, settings: StatisticsSettings) -> Measured:
    """The largest or smallest difference of two runs over the choices of analysis, see above."""
    one, other = (_of_choices(cells, run, effect.statistic) for run in (effect.run, effect.less))
    kept = [key for key in one if not one[key][1] and not other[key][1]]
    if not kept:
        return _nothing(f"none of {len(one)} choices gives both runs a centre")
    run, less = (together(found[key][0] for key in kept) for found in (one, other))
    largest = effect.take == "largest"

    def ends(level: float) -> dict:
        each, of_all = (
            estimates.difference(run, less, _at(settings, confidence))
            for confidence in (level, 1 - (1 - level) / len(kept))
        )
        if largest:  # the corrected end holds for the choices that have an interval, the other one needs them all
            low, high = np.fmax.reduce(of_all["low"]), np.max(each["high"])
        else:
            low, high = np.min(each["low"]), np.fmin.reduce(of_all["high"])
        low, high = (math.nan, math.nan) if math.isnan(low) or math.isnan(high) else (low, high)
        return {**each, "low": np.array([low]), "high": np.array([high]), "mean": each["mean"][[place]]}

    differences = run.by_network.mean(0) - less.by_network.mean(0)
    place = int(differences.argmax() if largest else differences.argmin())
    choice = kept[place]
    at_choice = one[choice][0], other[choice][0]
    found = _measured(at_choice[0], "", ends, [each.cells for each in at_choice])
    unknown = np.flatnonzero(np.isnan(estimates.difference(run, less, _at(settings, 0.5))["low"]))
    if found.why.startswith("no interval") and len(unknown):
        found = replace(
            found, why=f"no interval under {_named(kept[unknown[0]])}: a value is missing, or all are equal"
        )
    return replace(
        found,
        n_networks=min(map(_n_networks, at_choice)),
        parts=None,
        by_network=_pairs(at_choice[0].by_network, at_choice[1]),
        choice=f"under {_named(choice)}, one of {len(kept)} choices; {len(one) - len(kept)} give no centre",
    )


def over_runs(effect: Correlation, cells: Cells) -> Measured:
    """A rank correlation over the runs that have both statistics."""
    from scipy.stats import spearmanr  # here, since its import takes half a second and few studies have such a claim

    pairs = {run: [_of_run(cells, statistic, run) for statistic in (effect.x, effect.y)] for run in effect.runs}
    left_out = [run for run, pair in pairs.items() if any(map(math.isnan, pair))]
    n = len(pairs) - len(left_out)
    if n < FEWEST_RUNS:
        return _nothing(f"only {n} runs have both statistics; without: {', '.join(left_out)}")
    x, y = np.array([pair for run, pair in pairs.items() if run not in left_out]).T
    rho = float(spearmanr(x, y).statistic)
    if math.isnan(rho):
        return _nothing("a statistic is the same in all runs")
    return Measured(rho, lambda level: correlation_ends(rho, n, level), 0, 0, n_runs=n)


def correlation_ends(rho: float, n: int, confidence: float) -> tuple[float, float]:
    """Ends of a rank correlation of n pairs, see above.

    A perfect order has no Fisher z. Its inner end is that of the order in which two neighbours are exchanged, the
    nearest one to it, and its outer end is 1.
    """
    nearest = 1 - 12 / (n * (n**2 - 1))
    inside = max(min(rho, nearest), -nearest)
    half = special.ndtri((1 + confidence) / 2) * math.sqrt((1 + inside**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(inside) + sign * half) for sign in (-1, 1))
    return (-1.0 if rho < -nearest else low), (1.0 if rho > nearest else high)


def _row(cells: Cells, table: str, where: Mapping[str, Value]) -> tuple[Estimates | None, str]:
    """Estimates of a row, or the mean of rows, and why they stand for nothing; None where there is no such row."""
    numbered = next((column for column in KEYS[table] if (table, column) in NUMBERED), None)
    value = where[numbered] if numbered else None
    numbers = range(*value) if isinstance(value, list) else [value]
    keys = [tuple(str(number if column == numbered else where[column]) for column in KEYS[table]) for number in numbers]
    found = [cells[table].get(key) for key in keys]
    rows = [each for each in found if each is not None]
    if len(rows) < len(found):
        missing = NO_ROW.get(table, "the table lacks the row")
        return None, f"{', '.join(keys[found.index(None)])}: {missing}"
    if len(rows) == 1:
        return rows[0]
    first = rows[0][0]
    by_network = np.mean([each.by_network for each, _ in rows], axis=0)
    behind = np.mean([each.cells for each, _ in rows], axis=0)  # a mean of rows is linear in their cells
    whole = Estimates(by_network, behind, first.n_images, bounds=first.bounds, groups=first.groups)
    return whole, next((why for _, why in rows if why), "")


def _named(choice: Key) -> str:
    return ", ".join(f"{column} {value}" for column, value in zip(KEYS["choices"][2:], choice, strict=True))


def _of_choices(cells: Cells, run: str, statistic: str) -> dict[Key, tuple[Estimates, str]]:
    """Estimates of a run's statistic by the rest of the key."""
    return {key[2:]: found for key, found in cells["choices"].items() if key[:2] == (run, statistic)}


def _of_run(cells: Cells, statistic: Statistic, run: str) -> float:
    """A run's value, NaN where it has none that stands for something."""
    found, why = _row(cells, statistic.table, {**statistic.where, "run": run})
    return math.nan if found is None or why else float(found.by_network.mean())


def _measured(found: Estimates, why: str, ends: Callable[[float], dict], runs: list[np.ndarray]) -> Measured:
    def at(level: float) -> tuple[float, float]:
        row = ends(level)
        return float(row["low"][0]), float(row["high"][0])

    row, n_networks = ends(0.5), _n_networks(found)
    if not why and math.isnan(row["low"][0]):
        two = any(1 < len(run) < intervals.FEWEST_SEEDS for run in runs)
        why = "two networks have no interval" if two else "no interval: a value is missing, or all are equal"
    known = all(np.isfinite(run).all() for run in runs) and found.cells.shape[1] > 1
    parts = intervals.variance_parts(*runs) if known else None
    mean, n_images = float(row["mean"][0]), int(np.max(row["n_images"]))
    by_network = tuple(found.by_network[:, 0].tolist())
    return Measured(mean, at, n_networks, n_images, found.cells.shape[1], why=why, parts=parts, by_network=by_network)


def _pairs(by_network: np.ndarray, other: Estimates) -> tuple[float, ...]:
    """Each network's value less that of the network of the same place in the other run."""
    same = len(by_network) == len(other.by_network)
    return tuple((by_network - other.by_network)[:, 0].tolist()) if same else ()


def _nothing(why: str) -> Measured:
    return Measured(math.nan, lambda _: (math.nan, math.nan), 0, 0, why=why)


def _n_networks(found: Estimates) -> int:
    return int(np.isfinite(found.by_network).all(1).sum())


def _at(settings: StatisticsSettings, confidence: float) -> StatisticsSettings:
    return settings.model_copy(update={"confidence": confidence})
