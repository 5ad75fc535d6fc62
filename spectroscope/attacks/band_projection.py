"""Perturbations within a band of frequencies: projection onto the band, and into band, ball and [0, 1] together.

A band has a number of coefficients of its own. To compare bands at equal dimension, a perturbation is confined to a
subspace: a given number of coefficients drawn at random within the band, others for each image.

A clip to [0, 1], a step along the sign and the l-inf ball all spread energy over the whole spectrum. The perturbations
of attacks have at most `MAX_LEAK` of their energy outside their band, after the clip.
"""

from typing import Annotated, Literal, Protocol

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import Band, FullBand, PassBand, band_mask
from spectroscope.frequency.spectrum import Basis, dct2, dft2, idct2, idft2
from spectroscope.pipeline import machine
from spectroscope.pipeline.params import Settings

MAX_LEAK = 1e-4  # energy outside the band over all energy: 1 % of the norm
MAX_CYCLES = 200  # of alternating projection, after which a step is given up
_SUBSPACE_STREAM = 2  # a third key of the generators that draw subspaces


class Projection(Protocol):
    """Keeps a band of images (m, C, H, W). `rows` (m,): which images they are, None for all of them in their order."""

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor: ...


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
    """The function that keeps a whole band of images (..., H, W); ValueError for a band without coefficients."""
    mask = coefficients(band, height, width)

    def project(x: Tensor, rows: Tensor | None = None) -> Tensor:
        if _basis(band) == "dct":
            return idct2(dct2(x) * mask.to(x.device))
        return idft2(dft2(x) * mask[:, : width // 2 + 1].to(x.device), width)

    return project


def subspace_projection(band: Band | Lowest, count: int, places: Tensor, height: int, width: int) -> Projection:
    """The function that keeps `count` DCT coefficients of each image, drawn at random within the band.

    places (N,): of the images in their set. An image has the same coefficients, in all channels, for every network.
    The band is one of the DCT: coefficients of the DFT come in pairs. ValueError for a band with fewer coefficients.
    """
    inside = coefficients(band, height, width).flatten().nonzero()[:, 0]
    if len(inside) < count:
        raise ValueError(f"expected a band of at least {count} coefficients, got {len(inside)} ({height} x {width})")
    masks = torch.zeros(len(places), height * width, dtype=torch.bool)
    for mask, place in zip(masks, places.tolist(), strict=True):
        order = torch.randperm(len(inside), generator=machine.generator(0, place, _SUBSPACE_STREAM))
        mask[inside[order[:count]]] = True
    masks = masks.view(-1, 1, height, width)

    def project(x: Tensor, rows: Tensor | None = None) -> Tensor:
        own = masks if rows is None else masks[rows.cpu()]
        return idct2(dct2(x) * own.to(x.device))

    return project


def of_rows(project: Projection, rows: Tensor) -> Projection:
    """The projection of the images `rows` (n,) as one of images 0..n-1."""
    return lambda x, own=None: project(x, rows if own is None else rows[own])


def coefficients(band: Band | Lowest, height: int, width: int) -> Tensor:
    """The coefficients of a band: (H, W) booleans; ValueError where there is none."""
    return lowest(band.ratio, height, width) if isinstance(band, Lowest) else band_mask(band, height, width)


def _basis(band: Band | Lowest) -> Basis:
    return band.basis if band.keep in ("inside", "outside") else "dct"


def lowest(ratio: float, height: int, width: int) -> Tensor:
    """DCT coefficients of the lowest `ratio` of rows and of columns: (H, W) (Guo, Frank & Weinberger 2019, section 3).

    Rounded to whole rows and columns; ValueError where there is none.
    """
    rows, columns = round(ratio * height), round(ratio * width)
    if not (rows and columns):
        raise ValueError(f"expected a ratio that keeps a coefficient of {height} x {width} images, got {ratio:g}")
    return (torch.arange(height) < rows)[:, None] & (torch.arange(width) < columns)


def confine(
    change: Tensor, x: Tensor, ball: Ball, project: Projection, cycles: int, max_leak: float
) -> tuple[Tensor, Tensor]:
    """Perturbations moved into ball and pixel box, and towards the band: (N, C, H, W) twice -> the same, (N,) booleans.

    Alternating projection (von Neumann 1950; for convex sets Bregman 1965) onto band, ball and box in turn, at most
    `cycles` times. Ends in ball and box, which hold exactly. The booleans: whether at most `max_leak` of the energy is
    then outside the band. Some images admit no such perturbation, such as a constant one of an image that has black and
    white pixels.
    """
    placed, rows = torch.zeros(len(x), dtype=torch.bool, device=x.device), torch.arange(len(x), device=x.device)
    in_band, reached = project(change), torch.zeros_like(change)
    for _ in range(cycles):
        in_box = balls.inside(x[rows], in_band, *ball) - x[rows]
        in_band = project(in_box, rows)
        done = energy(in_box - in_band) <= max_leak * energy(in_box)
        reached[rows], placed[rows] = in_box, done
        rows, in_band = rows[~done], in_band[~done]
        if not len(rows):
            break
    return reached, placed


def leak(change: Tensor, project: Projection) -> Tensor:
    """Share of each perturbation's energy outside its band, NaN where it has none: (N, C, H, W) -> (N,)."""
    return energy(change - project(change)) / energy(change)


def energy(change: Tensor) -> Tensor:
    """Squared l2 norm of each perturbation: (N, C, H, W) -> (N,)."""
    return change.flatten(1).square().sum(1)
