"""Accuracies and statistics of reliance of several revisions, and their differences.

The committed tables hold the mean of each network over its images, not the values of single images. So a difference has
an interval only where two revisions have networks of the same seeds and the same images: then the networks are paired
by seed, and the interval, with the t quantile, is over networks for these images alone. It does not say how far other
images would move it. An interval computed from the two printed ones would ignore that the images are the same, so none
is.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from spectroscope.compare.revisions import Revision
from spectroscope.compare.settings import same
from spectroscope.statistics.intervals import FEWEST_SEEDS

Row = dict[str, Any]
CENTROID = "centroid by margin"
SAME = "the same"  # why two rows that are alike have no interval


class Key(NamedTuple):
    """A number that every study may have: its table, its run, and its attack or statistic."""

    table: str
    run: str
    statistic: str

    @property
    def share(self) -> bool:
        """Whether it is a share (of images, of probability): all are, but centroids in shells."""
        return not self.statistic.startswith("centroid") or self.table == "accuracy"


class Difference(NamedTuple):
    """A revision minus the first; `why`: why it has no mean or no interval, empty where it has both. NaN: none."""

    mean: float
    low: float
    high: float
    why: str


Numbers = dict[Key, dict[str, Row]]


def numbers(revisions: Sequence[Revision]) -> Numbers:
    """Every number, by the name of the revision that has it: rows mean, low, high, n_images, n_seeds, networks, ..."""
    found: dict[Key, dict[str, Row]] = {}
    for revision in revisions:
        for row in revision.tables["accuracy"].to_dict("records"):
            found.setdefault(Key("accuracy", row["run"], row["attack"]), {})[revision.name] = row
        for row in revision.tables["reliance"].to_dict("records"):
            key = Key("reliance", row["run"], f"{row['statistic']} by {row['score']}")
            found.setdefault(key, {})[revision.name] = row
    runs = list(dict.fromkeys(key.run for key in found))
    return dict(sorted(found.items(), key=lambda item: (item[0].table, runs.index(item[0].run))))


def headline(found: Numbers, revisions: Sequence[Revision]) -> Numbers:
    """Those of reports/metrics.json: of each run accuracy clean and attacked, and the centroid by margin.

    An attack that is the headline of one revision is that of all: accuracies under two attacks are not compared.
    """
    attacks = ["clean", *dict.fromkeys(revision.settings["findings"]["attack"] for revision in revisions)]
    runs = dict.fromkeys(key.run for key in found)
    keys = [
        key
        for run in runs
        for key in (*(Key("accuracy", run, attack) for attack in attacks), Key("reliance", run, CENTROID))
    ]
    return {key: found[key] for key in keys if key in found}


def differing(found: Numbers, revisions: Sequence[Revision]) -> Numbers:
    """Those that are not alike in all revisions: a mean, a network or the number of images differs, or one lacks it."""
    return {
        key: rows
        for key, rows in found.items()
        if len(rows) < len(revisions) or len({_content(row) for row in rows.values()}) > 1
    }


def difference(key: Key, rows: dict[str, Row], first: Revision, other: Revision) -> Difference:
    """`other` minus `first` in one number, paired by seed where that can be said (see the module)."""
    a, b = rows.get(first.name), rows.get(other.name)
    if a is None or b is None or math.isnan(a["mean"]) or math.isnan(b["mean"]):
        return Difference(math.nan, math.nan, math.nan, "not in both")
    if a.get("marked") or b.get("marked"):
        return Difference(math.nan, math.nan, math.nan, "no centre of reliance")
    if _content(a) == _content(b):
        return Difference(0.0, math.nan, math.nan, SAME)
    mean = b["mean"] - a["mean"]
    if why := _unpaired(key, a, b, first, other):
        return Difference(mean, math.nan, math.nan, why)
    changes = _networks(b) - _networks(a)
    if np.ptp(changes) == 0:  # as everywhere: no interval where nothing varies
        return Difference(mean, math.nan, math.nan, "alike in every network")
    quantile = stats.t.ppf((1 + first.settings["statistics"]["confidence"]) / 2, len(changes) - 1)
    half = float(quantile * changes.std(ddof=1) / np.sqrt(len(changes)))
    low, high = (mean - half, mean + half) if not key.share else (max(mean - half, -1.0), min(mean + half, 1.0))
    return Difference(mean, low, high, "")


def _unpaired(key: Key, a: Row, b: Row, first: Revision, other: Revision) -> str:
    """Why the networks of two revisions are no pairs that saw the same images; empty where they are."""
    one, two = first.settings, other.settings
    if first.stale or other.stale or not (key.run in one["runs"] and key.run in two["runs"]):
        return "settings changed since"
    images = same(one["dataset"], two["dataset"]) and (
        first.images is None or other.images is None or first.images == other.images
    )
    if not images or a["n_images"] != b["n_images"] or (key.table == "reliance" and not _all_images(one, two)):
        return "other images"
    if a.get("n_missing") or b.get("n_missing"):
        return "classes left out"
    if not same(_origin(one, key.run), _origin(two, key.run)) or a["n_seeds"] != b["n_seeds"]:
        return "other seeds"
    if one["statistics"]["confidence"] != two["statistics"]["confidence"]:
        return "other confidence"
    if a["n_seeds"] < FEWEST_SEEDS:
        return f"fewer than {FEWEST_SEEDS} networks"
    values = [_networks(a), _networks(b)]
    if not np.isfinite(np.concatenate(values)).all() or len(values[0]) != len(values[1]):
        return "a network without a value"
    return ""


def _all_images(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Whether reliance is that of all images: the correct ones are other ones of each network."""
    return all(settings["attribution"]["images"] == "all" for settings in (one, two))


def _origin(settings: dict[str, Any], run: str) -> list[Any]:
    """What tells one network of a run from another: its weights file or its seed."""
    return [settings["runs"][run]["regime"].get("weights"), settings["training"]["seeds"]]


def _networks(row: Row) -> np.ndarray:
    return np.array([float(value) for value in str(row["networks"]).split()])


def _content(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("mean", "low", "high", "networks", "n_images", "marked", "n_missing"))


def frame(found: Numbers) -> pd.DataFrame:
    """All rows below one another, with their revision."""
    rows = [{**row, "revision": name} for each in found.values() for name, row in each.items()]
    return pd.DataFrame(rows)
