"""Partitions of the spectrum into bands: every coefficient in exactly one, DC in a band of its own.

A partition is an integer index (H, W), the band of each coefficient, 0 for DC and rising with frequency. In the DFT a
coefficient and its mirror share a band, so that a band of a real image is real.
"""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.frequency.spectrum import Basis, Shape, analyse, shells

Partition = Literal[Shape, "octave", "equal_count", "equal_energy"]
_RINGS = ("equal_count", "equal_energy")


def partition(
    height: int, width: int, kind: Partition, bands: int | None, basis: Basis, power: Tensor | None = None
) -> Tensor:
    """Band of every coefficient: (H, W) integers 0..B-1, laid out as in `spectrum.shells`.

    linf, radial, diagonal: the shells of that shape, neighbours joined to `bands` of about as many shells each (None:
    every shell a band). octave: DC, then the l-inf shells 1, 2-3, 4-7, ... (the number follows from the size: `bands`
    None). equal_count, equal_energy: rings of equal distance from DC, joined to hold about the same number of
    coefficients, or about the same share of `power` (H, W) without DC (equal energy: Abello et al. 2021). A ring or
    shell is never cut, and each band takes rings until it has its share of what is left: with natural images the lowest
    ring alone may hold more. ValueError when there are fewer shells or rings than bands.
    """
    if bands is not None and bands < 2:
        raise ValueError(f"expected at least 2 bands (DC and the rest), got {bands}")
    if kind == "octave":
        return _octaves(height, width, bands, basis)
    atoms = _rings(height, width, basis) if kind in _RINGS else shells(height, width, kind, basis)
    if bands is None:
        if kind in _RINGS:
            raise ValueError(f"expected a number of bands for {kind}, got none")
        return atoms
    counts = torch.bincount(atoms.flatten())
    if bands > len(counts):
        raise ValueError(f"expected at most {len(counts)} bands ({height} x {width}, {kind}, {basis}), got {bands}")
    if kind == "equal_energy":
        if power is None or power.shape != atoms.shape:
            got = None if power is None else tuple(power.shape)
            raise ValueError(f"expected a power spectrum {tuple(atoms.shape)} for equal_energy, got {got}")
        weights = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, atoms.flatten(), power.flatten().double())
    else:
        weights = counts.double() if kind == "equal_count" else (counts > 0).double()
    joined = torch.zeros(len(counts), dtype=torch.int64)
    joined[1:] = 1 + _join(weights[1:], bands - 1)
    return joined[atoms]


def mean_power(images: Tensor, basis: Basis) -> Tensor:
    """Mean squared coefficient over images and channels: (N, C, H, W) -> (H, W)."""
    return analyse(images, basis).abs().square().mean((0, 1))


def positions(index: Tensor, basis: Basis) -> Tensor:
    """Mean frequency of each band, 0 for DC and 1 for the highest l-inf shell: (B,) float64.

    A common ruler for bands of different number, shape and transform.
    """
    shell = shells(*index.shape, "linf", basis)
    frequency = shell.double() / max(1, int(shell.max()))
    size = torch.bincount(index.flatten())
    return torch.zeros(len(size), dtype=torch.float64).index_add_(0, index.flatten(), frequency.flatten()) / size


def by_band(values: Tensor, index: Tensor) -> Tensor:
    """Sum over the coefficients of each band: (..., H, W) -> (..., B)."""
    flat = values.flatten(-2)
    out = flat.new_zeros(*flat.shape[:-1], int(index.max()) + 1)
    return out.index_add_(-1, index.flatten().to(flat.device), flat)


def mean_by_band(maps: Tensor, index: Tensor) -> Tensor:
    """Mean of each map over the coefficients of each band: (..., H, W) -> (..., bands)."""
    return by_band(maps, index) / torch.bincount(index.flatten()).to(maps)


def _rings(height: int, width: int, basis: Basis) -> Tensor:
    """Number of the ring of each coefficient: rings of equal distance from DC, where a side of the image counts 1."""
    u, v = (shells(*size, "linf", basis) for size in ((height, 1), (1, width)))
    distance = (u * width) ** 2 + (v * height) ** 2  # in integers: equal distances are equal numbers
    return distance.unique(return_inverse=True)[1]


def _octaves(height: int, width: int, bands: int | None, basis: Basis) -> Tensor:
    index = shells(height, width, "linf", basis)
    octave = torch.where(index > 0, index.double().clamp(min=1).log2().floor().long() + 1, 0)
    if bands not in (None, count := int(octave.max()) + 1):
        raise ValueError(f"expected null or {count} bands for octave ({height} x {width}, {basis}), got {bands}")
    return octave


def _join(weights: Tensor, groups: int) -> Tensor:
    """Group 0..groups-1 of each weight in order: each group takes its share of what is left, at least one weight."""
    group, first = torch.empty(len(weights), dtype=torch.int64), 0
    for number in range(groups):
        left = len(weights) - first - (groups - number - 1)  # how many it may take
        share = weights[first:].sum() / (groups - number)
        sums = weights[first : first + left].cumsum(0)
        last = left if number == groups - 1 else 1 + int((sums - share).abs().argmin())
        group[first : first + last] = number
        first += last
    return group
