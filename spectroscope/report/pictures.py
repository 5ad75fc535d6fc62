"""Arrays as pictures: images and perturbations as they are, maps of coefficients in colours."""

import base64
import io as memory
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from spectroscope.report.style import DIVERGING, SEQUENTIAL


@dataclass(frozen=True)
class Picture:
    """A PNG in base64, its size on the page in CSS pixels, and the text that stands for it where it is not seen."""

    png: str
    width: int
    height: int
    text: str


@dataclass(frozen=True)
class Cell:
    """Pictures side by side, with a note below."""

    pictures: tuple[Picture, ...]
    note: str = ""


def picture(pixels: ArrayLike, text: str, height: int = 64) -> Picture:
    """Pixels (C, H, W), clipped to [0, 1], as a picture `height` CSS pixels high."""
    values = (np.clip(np.asarray(pixels, float), 0, 1) * 255).round().astype(np.uint8)  # (C, H, W)
    if len(values) == 1 or (values == values[:1]).all():
        image = Image.fromarray(values[0])
    else:
        image = Image.fromarray(values.transpose(1, 2, 0))
        image = image.quantize() if image.getcolors(128) else image  # few colours: a palette loses nothing
    buffer = memory.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    width = round(height * image.width / image.height)
    return Picture(base64.b64encode(buffer.getvalue()).decode(), width, height, text)


def paper_and_score(ratios: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The paper's map beside the calibrated one: two (H, W) -> RGB in [0, 1], (3, H, 2 W + 2).

    Left the mean of ratios, linear, scaled to its own maximum (Wang et al. 2020, Fig. 2); right the score, from a
    quarter to four times the change that noise makes.
    """
    left = _shaded(ratios / max(ratios.max(), 1e-9), SEQUENTIAL)
    right = _shaded(score / math.log(16) + 0.5, DIVERGING)
    return _side_by_side(left, right)


def attack_control_ratio(attack: np.ndarray, control: np.ndarray) -> tuple[np.ndarray, str]:
    """Attack, control and their ratio side by side (the paper's Fig. 2): two (H, W) -> RGB (3, H, 3 W + 4), range.

    Attack and control share one logarithmic scale, from the first to the last percentile of the two but at most a
    factor of 1,000: the paper scales each map to its own maximum, which hides whether they differ. The ratio runs from
    1/4 to 4; all saturate.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        attack, control = np.log(attack), np.log(control)
    finite = np.concatenate([attack[np.isfinite(attack)], control[np.isfinite(control)]])
    low, high = np.quantile(finite, [0.01, 0.99]) if finite.size else (0.0, 0.0)
    low = max(low, high - math.log(1000))
    pair = [_shaded((values - low) / max(high - low, 1e-9), SEQUENTIAL) for values in (attack, control)]
    with np.errstate(invalid="ignore"):
        ratio = _shaded((attack - control) / math.log(16) + 0.5, DIVERGING)
    span = " to ".join(f"{end:,.0f}" if end >= 10 else f"{end:.2g}" for end in np.exp([low, high]))
    return _side_by_side(*pair, ratio), span


def signed(values: np.ndarray) -> np.ndarray:
    """A map (H, W) as colours, blue below and orange above zero, on the scale of its 99th percentile: (3, H, W)."""
    size = float(np.quantile(np.abs(values), 0.99)) or 1.0
    return _shaded(values / (2 * size) + 0.5, DIVERGING)


def _side_by_side(*maps: np.ndarray) -> np.ndarray:
    """Maps (3, H, W) in a row, two white columns between neighbours."""
    gap = np.ones((3, maps[0].shape[1], 2))
    return np.concatenate([part for shown in maps for part in (gap, shown)][1:], axis=2)


def _shaded(level: np.ndarray, stops: tuple[str, ...]) -> np.ndarray:
    """Levels in [0, 1], saturating outside, in 32 steps of colour: (H, W) -> (3, H, W); not finite is mid grey."""
    anchors = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    step = np.round(np.nan_to_num(level).clip(0, 1) * 31) / 31
    colour = np.stack([np.interp(step, np.linspace(0, 1, len(stops)), channel) for channel in anchors.T])
    return np.where(np.isfinite(level), colour, 0.6)
