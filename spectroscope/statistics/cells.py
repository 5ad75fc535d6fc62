"""What stands behind the rows of tables: estimates of each row by network and group of images, which claims compare.

A table that has them carries them in its last column (CELLS) until it is written: the column goes into a file of its
own, a row for each row of the tables.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spectroscope.pipeline.files import read_table, write_table
from spectroscope.statistics import estimates
from spectroscope.statistics.estimates import Estimates, StatisticsSettings

CELLS = "cells"
KEYS = {  # the columns that tell the rows of each such table from one another
    "accuracy": ("run", "attack"),
    "band_accuracy": ("run", "band"),
    "reliance": ("run", "score", "statistic"),
    "band_loss": ("run", "band", "change", "measure"),
    "attacks": ("run", "attack"),
    "confined": ("run", "entry", "band"),
    "attack_transfer": ("run", "source", "attack"),
    "calibrated": ("run", "attack", "source", "shape", "shell"),
    "margins": ("run", "band"),
    "counterparts": ("run", "statistic", "shell"),
    "layers": ("run", "layer", "network", "statistic", "band"),
    "concordance": ("run", "method", "across"),
    "choices": ("run", "statistic", "basis", "shape", "baseline", "score", "clip", "normalisation"),
}
MOST_NEGATIVE = 0.1  # above this share of negative mass the positive part has no centre that stands for the curve
MARKED = "no centre of reliance: too much of the curve is negative"
Key = tuple[str, ...]


def rows(front: Mapping[str, Any], found: Estimates, settings: StatisticsSettings) -> pd.DataFrame:
    """Columns `front`, SUMMARY, CELLS: a row for each of the K statistics."""
    return pd.DataFrame({**front, **estimates.summary(found, settings), CELLS: single(found)})


def single(found: Estimates) -> list[Estimates]:
    """Each of K statistics alone."""
    return [
        Estimates(
            found.by_network[:, [k]], found.cells[:, :, [k]], found.n_images, found.share, found.bounds, found.groups
        )
        for k in range(found.by_network.shape[1])
    ]


def together(found: Iterable[Estimates]) -> Estimates:
    """Estimates of one statistic each, of the same networks and images, as those of all: the inverse of `single`."""
    every = list(found)
    by_network, cells = (np.concatenate([getattr(each, n) for each in every], -1) for n in ("by_network", CELLS))
    return replace(every[0], by_network=by_network, cells=cells)


def write(tables: Mapping[str, pd.DataFrame], folder: Path, file: Path) -> None:
    """Every table as `folder`/NAME.csv without CELLS; the cells of those in KEYS as by `store`."""
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table.drop(columns=CELLS, errors="ignore"))
    store(tables, file)


def store(tables: Mapping[str, pd.DataFrame], file: Path) -> None:
    """The cells of the tables in KEYS that have them, as one Parquet file.

    Rows table, key (the values of the columns KEYS, as JSON), marked, n_images, share, lowest, highest (bounds),
    by_network (S), cells (S * G), groups (G).
    """
    stored = [_stored(name, row) for name in KEYS if CELLS in tables.get(name, ()) for row in _records(tables[name])]
    columns = ["table", "key", "marked", "n_images", "share", "lowest", "highest", "by_network", CELLS, "groups"]
    write_table(file, pd.DataFrame(stored, columns=columns))


def read(files: list[Path]) -> dict[str, dict[Key, tuple[Estimates, str]]]:
    """Estimates by table and key (values as text, in the order of KEYS), with why a row stands for nothing, or ""."""
    found: dict[str, dict[Key, tuple[Estimates, str]]] = {name: {} for name in KEYS}
    for row in pd.concat([read_table(file) for file in files], ignore_index=True).itertuples():
        by_network, groups = np.asarray(row.by_network)[:, None], np.asarray(row.groups)
        cells = np.asarray(row.cells).reshape(len(by_network), len(groups), 1)
        bounds = None if np.isnan(row.lowest) else (row.lowest, row.highest)
        of_row = Estimates(by_network, cells, row.n_images, bool(row.share), bounds, groups)
        found[row.table][tuple(json.loads(row.key))] = of_row, MARKED if row.marked else ""
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")


def _stored(name: str, row: dict[str, Any]) -> dict[str, Any]:
    found: Estimates = row[CELLS]
    n_groups = found.cells.shape[1]
    if found.groups is None and np.isfinite(found.cells).any():
        raise ValueError(f"{name}: expected estimates that know their groups of images, got some that do not")
    lowest, highest = found.bounds or (np.nan, np.nan)
    return {
        "table": name,
        "key": json.dumps([str(row[column]) for column in KEYS[name]]),
        "marked": bool(row.get("marked", False)),
        "n_images": int(found.n_images),
        "share": found.share,
        "lowest": lowest,
        "highest": highest,
        "by_network": found.by_network[:, 0],
        CELLS: found.cells[:, :, 0].ravel(),
        "groups": np.arange(n_groups) if found.groups is None else found.groups,  # unknown where no image counts
    }
