"""A Fourier heat map from some of its waves, for images whose every wave would take too long (25,090 at 224 x 224).

Waves are drawn evenly over the plane: rings of equal width in cycles per longer side, each cut into cells of about
equally many waves by their angle, one wave at random from each cell. A ring's average is unbiased; its interval counts
both the images and the waves that were not drawn.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attribution.heat_map import Norm, Value, _effect, half_plane, waves
from spectroscope.attribution.inputs import Model, check_images, checked_logits
from spectroscope.frequency.partitions import cycles_per_side, equal_width
from spectroscope.pipeline.progress import track
from spectroscope.statistics.intervals import half_width, with_variance


class Drawn(NamedTuple):
    """W waves: frequencies (W, 2), row and column in an unshifted FFT; ring (W,), 0 = DC; cell (H, W), which wave
    stands for each coefficient; of (rings + 1,), waves that each ring holds in a half plane; cycles (rings + 1,), their
    mean frequency in cycles per longer side. The first waves are one of each ring, then come the second ones, ..."""

    frequencies: Tensor
    ring: Tensor
    cell: Tensor
    of: Tensor
    cycles: Tensor


class SampledHeatMap(NamedTuple):
    """drawn: the waves; effects (N, W) of each on each image; map (H, W): its mean over images, each coefficient with
    the value of its cell, laid out as an unshifted FFT; rings: the table of `ring_means`."""

    drawn: Drawn
    effects: Tensor
    map: Tensor
    rings: pd.DataFrame


def sampled_heat_map(  # as many arguments as the full map has, and two for the sample
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    rings: int,
    angles: int,
    eps: float,
    norm: Norm,
    value: Value,
    clip: bool,
    generator: torch.Generator,
    chunk: int = 64,
) -> SampledHeatMap:
    """Fourier heat map of DC and at most rings x angles other waves, with ring averages and their intervals.

    eps, norm, value, clip and the errors are those of `fourier_heat_map`; with `angles` no smaller than the largest
    ring every wave is drawn. chunk: noisy images in one forward pass; memory does not grow with the number of waves.

    >>> wave = torch.cos(2 * math.pi * 3 * torch.arange(16) / 16)  # three periods along the width
    >>> model = lambda x: (x * wave).sum((1, 2, 3))[:, None].square()  # one logit
    >>> images, labels = torch.rand(4, 1, 16, 16), torch.zeros(4, dtype=torch.int64)
    >>> options = {"eps": 0.1, "norm": "l2", "value": "logit", "clip": False, "generator": torch.Generator()}
    >>> found = sampled_heat_map(model, images, labels, rings=4, angles=99, **options)
    >>> int(found.rings["mean"].abs().argmax())  # DC, 1-2, 3-4, ... cycles per image
    2
    """
    check_images(images, labels)
    height, width = images.shape[-2:]
    drawn = draw_waves(height, width, rings, angles, generator)
    signs = wave_signs(len(drawn.ring), images, norm, generator)
    with torch.no_grad():
        clean = torch.cat([checked_logits(model, part) for part in images.split(max(1, chunk))])
    parts = wave_effects(model, images, labels, clean, drawn.frequencies, signs, eps, norm, value, clip, chunk)
    effects = torch.cat(list(parts), 1)
    return SampledHeatMap(drawn, effects, effects.double().mean(0)[drawn.cell], ring_means(drawn, effects))


def draw_waves(height: int, width: int, rings: int, angles: int, generator: torch.Generator) -> Drawn:
    """DC and one wave at random from each cell: at most `angles` cells in each of `rings` rings above DC.

    The rings are those of `equal_width` (radial). ValueError for fewer than one ring or two angles, or an empty ring.
    """
    if rings < 1 or angles < 2:
        raise ValueError(f"expected at least 1 ring and 2 angles, got {rings} and {angles}")
    plane, ring = half_plane(height, width), rings_of_waves(height, width, rings)  # (D, 2), (D,)
    i, j = plane.unbind(1)
    cycles = cycles_per_side(height, width, "dft", "radial")[i, j]
    rows, columns = (torch.where(k > n // 2, k - n, k).double() / n for k, n in ((i, height), (j, width)))
    angle = torch.atan2(rows, columns) % math.pi  # of a wave and its mirror alike
    cell = torch.empty_like(ring)
    wave: list[int] = []
    rank: list[int] = []
    for number in range(rings + 1):
        inside = (ring == number).nonzero()[:, 0]
        inside = inside[angle[inside].argsort(stable=True)]
        cells = inside.tensor_split(min(angles, len(inside)))
        for members in cells:
            cell[members] = len(wave)
            wave.append(int(members[torch.randint(len(members), (1,), generator=generator)]))
        rank += torch.randperm(len(cells), generator=generator).tolist()
    drawn = torch.tensor(wave)
    order = torch.from_numpy(np.lexsort((ring[drawn].numpy(), np.array(rank))))  # a part of it is even over rings too
    spread = torch.empty(height, width, dtype=torch.int64)
    spread[i, j] = spread[-i % height, -j % width] = order.argsort()[cell]
    of = torch.bincount(ring)
    return Drawn(plane[drawn][order], ring[drawn][order], spread, of, torch.bincount(ring, cycles) / of)


def rings_of_waves(height: int, width: int, rings: int) -> Tensor:
    """Ring, 0 = DC, of each wave of `half_plane`: (D,)."""
    i, j = half_plane(height, width).unbind(1)
    return equal_width(height, width, rings + 1, "dft", "radial")[i, j]


def wave_signs(n_waves: int, images: Tensor, norm: Norm, generator: torch.Generator) -> Tensor:
    """r = +-1 of each wave, image and channel (l2, Yin et al. 2019), or +1 (linf): (W, N, C)."""
    if norm not in get_args(Norm):
        raise ValueError(f"expected norm {' or '.join(get_args(Norm))}, got {norm!r}")
    shape = (n_waves, *images.shape[:2])
    if norm == "linf":
        return torch.ones(shape, dtype=images.dtype)
    return 2.0 * torch.randint(0, 2, shape, generator=generator).to(images.dtype) - 1


@torch.no_grad()
def wave_effects(  # as many arguments as the map has, its signs and the clean logits among them
    model: Model,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    frequencies: Tensor,
    signs: Tensor,
    eps: float,
    norm: Norm,
    value: Value,
    clip: bool,
    chunk: int,
) -> Iterator[Tensor]:
    """Effect of each wave on each image, as `fourier_heat_map` defines it, a few waves at a time: (N, some), ...

    clean: logits (N, K) of the images; frequencies (W, 2); signs (W, N, C).
    """
    n, _, height, width = images.shape
    labels = labels.to(images.device)
    at_once = max(1, chunk // n)  # waves in one forward pass
    for first in track(range(0, len(frequencies), at_once), "Fourier heat map"):
        basis = waves(frequencies[first : first + at_once], height, width, images.dtype)
        if norm == "linf":
            basis = basis / basis.abs().flatten(1).amax(1)[:, None, None]
        found = images.new_empty(n, len(basis))
        for start in range(0, n, max(1, chunk)):
            rows = slice(start, start + max(1, chunk))
            noise = eps * basis[:, None, None] * signs[first : first + at_once, rows, :, None, None]
            noisy = images[rows] + noise.to(images.device)  # (waves, n, C, H, W)
            logits = checked_logits(model, (noisy.clamp(0, 1) if clip else noisy).flatten(0, 1))
            y, before = labels[rows].repeat(len(basis)), clean[rows].repeat(len(basis), 1)
            found[rows] = _effect(logits, y, before, value).view(len(basis), -1).mT.to(found.dtype)
        yield found


def ring_means(drawn: Drawn, effects: Tensor, confidence: float = 0.95) -> pd.DataFrame:
    """Mean effect of the waves of each ring, with an interval over images and waves; effects (N, W' <= W waves).

    Images are a sample of many, the waves of a ring w of its W: with the mean squares of images, waves and error,
    Var = [MS_images + (1 - w / W) max(MS_waves - MS_error, 0)] / (N w), the finite-population correction of Cochran
    1977, section 2.6. That cells divide the angles is left out of account, so that intervals are rather too wide. No
    interval with one wave of several. Columns: ring (0 = DC), cycles (per longer side), waves, of, mean, low, high,
    n_images; rings without a wave are left out.
    """
    rows = []
    ring = drawn.ring[: effects.shape[1]]
    for number in ring.unique().tolist():
        x = effects[:, ring == number].double().cpu().numpy()  # (N, w)
        (n, w), of, mean = x.shape, int(drawn.of[number]), x.mean()
        by_image, by_wave = x.mean(1), x.mean(0)
        parts = [(by_image.var(ddof=1) / n if n > 1 else math.nan, n - 1)]
        if w < of:
            error = ((x - by_image[:, None] - by_wave + mean) ** 2).sum() / max(1, (n - 1) * (w - 1))
            over = n * by_wave.var(ddof=1) if w > 1 else math.nan
            parts.append(((1 - w / of) * np.maximum(over - error, 0) / (n * w), max(1, w - 1)))
        half = half_width([(np.array([variance]), freedom) for variance, freedom in parts], confidence)
        low, high = with_variance(mean - half, mean + half)
        place = {"ring": number, "cycles": float(drawn.cycles[number]), "waves": w, "of": of}
        rows.append({**place, "mean": float(mean), "low": float(low[0]), "high": float(high[0]), "n_images": n})
    return pd.DataFrame(rows)
