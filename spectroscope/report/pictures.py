"""Pictures: arrays in, PNG inside HTML out; maps of coefficients become arrays of colours first."""

import base64
import html
import io as memory
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from spectroscope.report.style import DIVERGING, SEQUENTIAL, require


def calibrated(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """The paper's map beside the calibrated one, for each run and attack: RGB in [0, 1], (3, H, 2 W + 2).

    Left the mean of ratios, linear, scaled to its own maximum (Wang et al. 2020, Fig. 2); right the score, from a
    quarter to four times the change that noise makes.
    """
    require(table, "maps", "run", "attack", "source", "estimator", "u", "v", "mean")
    shown = {}
    for key, cell in table[table["source"] == "attack"].groupby(["run", "attack"], sort=False):
        pair = {name: part.pivot(index="u", columns="v", values="mean") for name, part in cell.groupby("estimator")}
        ratios, score = (pair[name].to_numpy(float) for name in ("mean_of_ratios", "score"))
        left = _shaded(ratios / max(ratios.max(), 1e-9), SEQUENTIAL)
        right = _shaded(score / math.log(16) + 0.5, DIVERGING)
        shown[key] = np.concatenate([left, np.ones((3, len(score), 2)), right], axis=2)
    return shown


def maps(table: pd.DataFrame) -> dict[tuple[str, str, str], tuple[np.ndarray, str]]:
    """Attack, control and their ratio side by side (the paper's Fig. 2) for each run, attack and estimator.

    A picture is RGB in [0, 1], (3, H, 3 W + 4); with it goes the range of its scale. Attack and control share one
    logarithmic scale, from the first to the last percentile of the two but at most a factor of 1,000: the paper scales
    each map to its own maximum, which hides whether they differ. The ratio runs from 1/4 to 4; all saturate.
    """
    require(table, "maps", "run", "attack", "source", "estimator", "u", "v", "mean")
    table = table[table["estimator"] != "score"]
    return {key: _triple(key, cell) for key, cell in table.groupby(["run", "attack", "estimator"], sort=False)}


def _triple(key: tuple[str, str, str], cell: pd.DataFrame) -> tuple[np.ndarray, str]:
    pair = {name: part.pivot(index="u", columns="v", values="mean") for name, part in cell.groupby("source")}
    if pair.keys() != {"attack", "control"} or pair["attack"].shape != pair["control"].shape:
        raise ValueError(f"maps: {key}: expected attack and control of one shape, got {', '.join(pair)}")
    with np.errstate(divide="ignore", invalid="ignore"):
        attack, control = (np.log(pair[name].to_numpy(float)) for name in ("attack", "control"))
    finite = np.concatenate([attack[np.isfinite(attack)], control[np.isfinite(control)]])
    low, high = np.quantile(finite, [0.01, 0.99]) if finite.size else (0.0, 0.0)
    low = max(low, high - math.log(1000))
    tiles = [_shaded((value - low) / max(high - low, 1e-9), SEQUENTIAL) for value in (attack, control)]
    with np.errstate(invalid="ignore"):
        tiles.append(_shaded((attack - control) / math.log(16) + 0.5, DIVERGING))
    gap = np.ones((3, len(attack), 2))
    span = " to ".join(f"{end:,.0f}" if end >= 10 else f"{end:.2g}" for end in np.exp([low, high]))
    return np.concatenate([tiles[0], gap, tiles[1], gap, tiles[2]], axis=2), span


def signed(values: np.ndarray) -> np.ndarray:
    """A map (H, W) as colours, blue below and orange above zero, on the scale of its 99th percentile: (3, H, W)."""
    size = float(np.quantile(np.abs(values), 0.99)) or 1.0
    return _shaded(values / (2 * size) + 0.5, DIVERGING)


def picture(pixels: np.ndarray | Tensor, text: str, note: str = "", height: int = 64) -> str:
    """Pixels (C, H, W), clipped to [0, 1], as a PNG inside the page, `height` points high, with a note below."""
    values = (np.clip(np.asarray(pixels, float), 0, 1) * 255).round().astype(np.uint8)  # (C, H, W)
    if len(values) == 1 or (values == values[:1]).all():
        image = Image.fromarray(values[0])
    else:
        image = Image.fromarray(values.transpose(1, 2, 0))
        image = image.quantize() if image.getcolors(128) else image  # few colours: a palette loses nothing
    buffer = memory.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data, width = base64.b64encode(buffer.getvalue()).decode(), round(height * image.width / image.height)
    shown = f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{html.escape(text)}">'
    return shown + (f"<small>{html.escape(note)}</small>" if note else "")


def ramp(stops: Sequence[str], low: str, high: str) -> str:
    """The legend of a colour scale."""
    bar = f'<i style="background:linear-gradient(90deg,{",".join(stops)})"></i>'
    return f'<span class="ramp">{html.escape(low)}{bar}{html.escape(high)}</span>'


def _shaded(level: np.ndarray, stops: tuple[str, ...]) -> np.ndarray:
    """Levels in [0, 1], saturating outside, in 32 steps of colour: (H, W) -> (3, H, W); not finite is mid grey."""
    anchors = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    step = np.round(np.nan_to_num(level).clip(0, 1) * 31) / 31
    colour = np.stack([np.interp(step, np.linspace(0, 1, len(stops)), channel) for channel in anchors.T])
    return np.where(np.isfinite(level), colour, 0.6)
