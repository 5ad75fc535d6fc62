"""Perturbations within a band of frequencies: projection onto the band, and into band, ball and [0, 1] together.

A clip to [0, 1], a step along the sign and the l-inf ball all spread energy over the whole spectrum. What `confine`
returns has at most `MAX_LEAK` of its energy outside its band, after the clip.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import Band, FullBand, PassBand, band_mask
from spectroscope.frequency.spectrum import Basis, dct2, dft2, idct2, idft2
from spectroscope.pipeline.params import Settings

MAX_LEAK = 1e-4  # energy outside the band over all energy: 1 % of the norm
MAX_CYCLES = 200  # of alternating projection, after which a step is given up

Projection = Callable[[Tensor], Tensor]


class Lowest(Settings):
    """The DCT coefficients of the lowest `ratio` of rows and of columns (Guo, Frank & Weinberger 2019)."""

    keep: Literal["lowest"]
    ratio: Annotated[float, Field(gt=0, le=1)]


def _unclipped(band: FullBand | PassBand | Lowest) -> FullBand | PassBand | Lowest:
    if getattr(band, "clip", False):
        raise ValueError(
            "expected clip false in the band of an attack, whose perturbation has negative values; got true"
        )
    return band


AttackedBand = Annotated[
    Annotated[FullBand | PassBand | Lowest, Field(discriminator="keep")], AfterValidator(_unclipped)
]


def projection(band: Band | Lowest, height: int, width: int) -> Projection:
    """The function that keeps a band of images (..., H, W); ValueError for a band without coefficients."""
    mask = lowest(band.ratio, height, width) if isinstance(band, Lowest) else band_mask(band, height, width)
    basis: Basis = band.basis if band.keep in ("inside", "outside") else "dct"

    def project(x: Tensor) -> Tensor:
        if basis == "dct":
            return idct2(dct2(x) * mask.to(x.device))
        return idft2(dft2(x) * mask[:, : width // 2 + 1].to(x.device), width)

    return project


def lowest(ratio: float, height: int, width: int) -> Tensor:
    """DCT coefficients of the lowest `ratio` of rows and of columns: (H, W) (Guo, Frank & Weinberger 2019, section 3).

    Rounded to whole rows and columns; ValueError where there is none.
    """
    rows, columns = round(ratio * height), round(ratio * width)
    if not (rows and columns):
        raise ValueError(f"expected a ratio that keeps a coefficient of {height} x {width} images, got {ratio:g}")
    return (torch.arange(height) < rows)[:, None] & (torch.arange(width) < columns)


def confine(change: Tensor, x: Tensor, ball: Ball, project: Projection) -> tuple[Tensor, Tensor]:
    """Perturbations moved into band, ball and [0, 1] - x at once: (N, C, H, W) twice -> the same, and (N,) booleans.

    Alternating projection (von Neumann 1950; for convex sets Bregman 1965) between the band, with the l2 ball, which is
    round in it, and the box of pixels, with the l-inf ball. Ends in the box, at most `MAX_LEAK` outside the band. Where
    `MAX_CYCLES` do not lead there, the result is 0 and the boolean False: some images admit no perturbation, such as a
    constant one of an image that has black and white pixels.
    """
    bound = ball.eps if ball.norm == "linf" else math.inf
    in_band, placed = project(change), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    change, rows = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    for _ in range(MAX_CYCLES):
        if ball.norm == "l2":
            in_band = balls.project(in_band, "l2", ball.eps)
        in_box = (x[rows] + in_band.clamp(-bound, bound)).clamp(0, 1) - x[rows]
        in_band = project(in_box)
        done = energy(in_box - in_band) <= MAX_LEAK * energy(in_box)
        change[rows[done]], placed[rows[done]] = in_box[done], True
        rows, in_band = rows[~done], in_band[~done]
        if not len(rows):
            break
    return change, placed


def leak(change: Tensor, project: Projection) -> Tensor:
    """Share of each perturbation's energy outside its band, NaN where it has none: (N, C, H, W) -> (N,)."""
    return energy(change - project(change)) / energy(change)


def energy(change: Tensor) -> Tensor:
    """Squared l2 norm of each perturbation: (N, C, H, W) -> (N,)."""
    return change.flatten(1).square().sum(1)
