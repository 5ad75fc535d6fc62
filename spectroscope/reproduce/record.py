"""What is known of earlier runs on this machine: seconds and memory of each cell. In .dvc/tmp, which git ignores."""

import json
import os
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "spectroscope"  # within .dvc/tmp
CELLS = "cells.json"
LOGS = "logs"


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all. Not `pipeline.files`, whose imports take a second of the driver's start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """`seconds`, `peak_mb`, `threads` and `jobs` of the last run of each cell that has run here.

    {} if none has, or if the file is damaged: it only serves to expect.
    """
    try:
        cells = json.loads((folder / CELLS).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    whole = isinstance(cells, dict) and all(isinstance(cell, dict) and "seconds" in cell for cell in cells.values())
    return cells if whole else {}


def write(folder: Path, cells: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace what is known of all cells."""
    write_text(folder / CELLS, json.dumps(cells, indent=1, sort_keys=True) + "\n")


def expected(cells: Mapping[str, Mapping[str, Any]], key: str, names: Iterable[str]) -> dict[str, float]:
    """Expected `key` ("seconds" or "peak_mb") of each name: its own, else the mean of its stage, else of all cells.

    {} when no cell has the key.
    """
    known = {name: float(cell[key]) for name, cell in cells.items() if cell.get(key) is not None}
    if not known:
        return {}
    by_stage: dict[str, list[float]] = {}
    for name, value in known.items():
        by_stage.setdefault(name.partition("@")[0], []).append(value)
    overall = statistics.fmean(known.values())
    mean = {stage: statistics.fmean(values) for stage, values in by_stage.items()}
    return {name: known.get(name, mean.get(name.partition("@")[0], overall)) for name in names}


def affordable(peaks_mb: Iterable[float], jobs: int, available_mb: float) -> int:
    """Largest number of jobs, at most `jobs` and at least 1, whose largest peaks together fit the memory."""
    largest = sorted(peaks_mb, reverse=True)[:jobs]
    while len(largest) > 1 and sum(largest) > available_mb:
        largest.pop()
        jobs = len(largest)
    return jobs


def spoken(seconds: float) -> str:
    """A length of time in words: 12.3 s, 4 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
