"""Numbers, intervals, sample sizes and settings as words, worded alike on the whole page."""

import math
from typing import Any

import pandas as pd


def count(number: int, noun: str, most: int | None = None) -> str:
    """`1 seed`, `1,200 images`; with `most`, the range `90 to 1,200 images`."""
    span = f"{number:,}" if most in (None, number) else f"{number:,} to {most:,}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{span} {noun if span == '1' else plural}"


def sample(table: pd.DataFrame, noun: str = "test image") -> str:
    """How many images and networks (none where no network is involved) the rows of `table` with a value rest on."""
    found = table[table["n_seeds"] > 0] if "n_seeds" in table and table["n_seeds"].any() else table
    sizes = {"n_images": noun, "n_seeds": "network"}
    counts = [count(int(found[n].min()), noun, int(found[n].max())) for n, noun in sizes.items() if n in found]
    return f"n\u00a0=\u00a0{', '.join(counts)}{' a run' if 'n_seeds' in found else ''}"


def sample_note(table: pd.DataFrame, noun: str = "test image", drawn: bool = True) -> str:
    """Last sentence of a caption: the sample, what its intervals are over, and where they are if not `drawn`."""
    networks = int(table["n_seeds"].max()) if "n_seeds" in table else 0
    if networks == 2:
        return f"{sample(table, noun)}: too few for intervals, the values of both are in the tables."
    if "low" in table and table["low"].isna().all():
        return f"{sample(table, noun)}; no interval, because too few images or none that vary stand behind a number."
    over = {0: "images", 1: "images, for this one network of each run"}.get(networks, "networks and images")
    return f"{sample(table, noun)}; intervals over {over}{'' if drawn else ', shown by the pointer'}."


def n_images(rows: pd.DataFrame) -> str:
    """The number of images that rows rest on: `200`, or `180 to 190` where they differ."""
    return " to ".join(f"{n:,}" for n in sorted({int(rows["n_images"].min()), int(rows["n_images"].max())}))


def number(mean: float | None, low: float | None, high: float | None, share: bool, networks: str = "") -> str:
    """`73.2 % [71.0, 75.1]` for a share, `16.9 [16.1, 17.8]` for another number, a dash for one that is not defined.

    `networks`: the values of the networks, separated by blanks; two networks have no interval and are both shown.
    """
    if mean is None or not math.isfinite(mean):
        return "-"
    scale, unit = (100, " %") if share else (1, "")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        both = [float(value) for value in str(networks).split() if value != "nan"]
        values = both if len(both) == 2 else [mean]
        return " and ".join(f"{value * scale:.1f}{unit}" for value in values)
    return f"{mean * scale:.1f}{unit} [{low * scale:.1f}, {high * scale:.1f}]"


def peaks(table: pd.DataFrame, place: str, lowest: bool = False) -> str:
    """Where the mean of each run is highest (lowest): `standard 3, adversarial 14.5, lowpass no data`."""
    rows = table.dropna(subset=["mean"]).sort_values("mean", ascending=lowest, kind="stable")
    places = rows.drop_duplicates("run").set_index("run")[place]
    names = {run: f"{at:g}" if isinstance(at, float) else at for run, at in places.items()}
    return ", ".join(f"{run} {names.get(run, 'no data')}" for run in dict.fromkeys(table["run"]))


def setting(value: Any) -> str:
    """A value of params.yaml as words: a mapping as `key value` pairs, after its name or method."""
    if isinstance(value, dict):
        pairs = value.items()
        return ", ".join(setting(v) if k in ("name", "method") else f"{k} {setting(v)}" for k, v in pairs)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(map(setting, value)) if isinstance(value, list) else str(value)
