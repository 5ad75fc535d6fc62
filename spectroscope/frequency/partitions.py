"""Partitions of the spectrum into bands: every coefficient in exactly one band, DC alone in band 0.

A partition is an index (H, W): the band of each coefficient, numbered by rising frequency. In the DFT a coefficient and
its mirror are in one band, so that the part of a real image in a band is real.
"""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.frequency.spectrum import Basis, Shape, analyse, shells

Partition = Literal[Shape, "octave", "equal_count", "equal_energy"]


def partition(
    height: int, width: int, kind: Partition, bands: int | None, basis: Basis, power: Tensor | None = None
) -> Tensor:
    """Band of every coefficient, laid out as in `spectrum.shells`: (H, W) integers 0..bands-1.

    linf, radial, diagonal: shells of that shape, joined into bands of about equally many shells; `bands` None makes
    every shell a band. octave: DC, then the l-inf shells 1, 2-3, 4-7, ...; their number follows from the size, so
    `bands` is None. Octaves of the DCT begin at half a cycle per side, those of the DFT at one: the octave from 4 to 8
    cycles is band 4 of the DCT and band 3 of the DFT, and `positions` tells that they are the same. equal_count,
    equal_energy: rings of equal distance from DC, joined into bands of about equally many coefficients, or of about
    equal sums of `power` (H, W) (equal energy: Abello et al. 2021). No shell or ring is cut: in natural images the
    first ring alone may hold more than its share. ValueError for more bands than shells or rings.

    >>> partition(3, 6, "octave", None, "dct")
    tensor([[0, 1, 2, 2, 3, 3],
            [1, 1, 2, 2, 3, 3],
            [2, 2, 2, 2, 3, 3]])
    """
    if bands is not None and bands < 2:
        raise ValueError(f"expected at least 2 bands (DC and the rest), got {bands}")
    match kind:
        case "octave":
            return _octaves(height, width, bands, basis)
        case "equal_count" | "equal_energy":
            if bands is None:
                raise ValueError(f"expected a number of bands for {kind}, got none")
            atoms = _rings(height, width, basis)
        case _:
            atoms = shells(height, width, kind, basis)
            if bands is None:
                return atoms
    sizes = torch.bincount(atoms.flatten())  # coefficients of each shell or ring: (atoms,)
    if bands > len(sizes):
        raise ValueError(f"expected at most {len(sizes)} bands ({height} x {width}, {kind}, {basis}), got {bands}")
    if kind == "equal_energy":
        if power is None or power.shape != atoms.shape:
            got = None if power is None else tuple(power.shape)
            raise ValueError(f"expected a power spectrum {tuple(atoms.shape)} for equal_energy, got {got}")
        weights = by_band(power.double(), atoms)
    else:
        weights = sizes.double() if kind == "equal_count" else (sizes > 0).double()
    band_of_atom = torch.zeros(len(sizes), dtype=torch.int64)
    band_of_atom[1:] = 1 + _join(weights[1:], bands - 1)
    return band_of_atom[atoms]


def check_number(kind: Partition, bands: int | None) -> None:
    """ValueError for a kind that needs a number of bands and has none, or that has its own and is given one."""
    if kind in ("equal_count", "equal_energy") and bands is None:
        raise ValueError(f"expected a number of bands for {kind}, got null")
    if kind == "octave" and bands is not None:
        raise ValueError(f"expected bands null for octave, whose number follows from the size, got {bands}")


def by_band(maps: Tensor, index: Tensor) -> Tensor:
    """Sum of each map over the coefficients of each band: (..., H, W) -> (..., bands)."""
    flat = maps.flatten(-2)
    sums = flat.new_zeros(*flat.shape[:-1], int(index.max()) + 1)
    return sums.index_add_(-1, index.flatten().to(flat.device), flat)


def mean_by_band(maps: Tensor, index: Tensor) -> Tensor:
    """Mean of each map over the coefficients of each band: (..., H, W) -> (..., bands)."""
    return by_band(maps, index) / torch.bincount(index.flatten()).to(maps)


def cycles_per_side(height: int, width: int, basis: Basis, shape: Shape) -> Tensor:
    """Frequency of every coefficient in cycles per longer side of the image, laid out as in `shells`: (H, W) float64.

    A physical frequency, cycles per pixel times the longer side, so that waves of one length have one frequency in
    both directions of a rectangular image. DCT coefficient k has k / 2 cycles per side of its own direction, DFT
    coefficient k has k. linf: the larger of both directions, radial: their Euclidean norm, diagonal: their sum.
    """
    longer, unit = max(height, width), 2 if basis == "dct" else 1
    u, v = shells(height, 1, "linf", basis).double() / unit, shells(1, width, "linf", basis).double() / unit
    u, v = u * (longer / height), v * (longer / width)
    if shape == "linf":
        return torch.maximum(u, v)
    if shape == "radial":
        return torch.hypot(u, v)
    if shape == "diagonal":
        return u + v
    raise ValueError(f"expected shape linf, radial or diagonal, got {shape!r}")


def equal_width(height: int, width: int, bands: int, basis: Basis, shape: Shape = "linf") -> Tensor:
    """Band of every coefficient: DC, then bands of equal width in `cycles_per_side`: (H, W) integers 0..bands-1.

    The bands above DC divide the frequencies up to half the longer side, the highest that pixels can hold; the last one
    holds what is higher (the corners of radial and diagonal bands). ValueError for fewer than 2 bands, and for so many
    that one is empty.

    >>> equal_width(4, 8, 3, "dct")  # a row of the lower image is two of a square one
    tensor([[0, 1, 1, 1, 1, 2, 2, 2],
            [1, 1, 1, 1, 1, 2, 2, 2],
            [1, 1, 1, 1, 1, 2, 2, 2],
            [2, 2, 2, 2, 2, 2, 2, 2]])
    """
    if bands < 2:
        raise ValueError(f"expected at least 2 bands (DC and the rest), got {bands}")
    cycles = cycles_per_side(height, width, basis, shape)
    place = cycles / (max(height, width) / 2) * (bands - 1)
    index = torch.where(cycles > 0, (place - 1e-9).ceil().clamp(1, bands - 1), 0.0).long()
    empty = [band for band, size in enumerate(torch.bincount(index.flatten(), minlength=bands).tolist()) if not size]
    if empty:
        raise ValueError(
            f"expected so few bands that each holds a coefficient ({height} x {width}, {shape}, {basis}), got {bands}"
        )
    return index


def positions(index: Tensor, basis: Basis) -> Tensor:
    """Mean frequency of each band, from 0 at DC to 1 at half the longer side, the highest that pixels hold: (bands,).

    One physical scale for partitions of any number of bands, shape and transform: the mean over a band of
    `cycles_per_side` (linf), divided by half the longer side, in float64.
    """
    height, width = index.shape
    return mean_by_band(cycles_per_side(height, width, basis, "linf") / (max(height, width) / 2), index)


def mean_power(images: Tensor, basis: Basis) -> Tensor:
    """Mean squared magnitude of each coefficient over images and channels: (N, C, H, W) -> (H, W)."""
    return analyse(images, basis).abs().square().mean((0, 1))


def _octaves(height: int, width: int, bands: int | None, basis: Basis) -> Tensor:
    index = shells(height, width, "linf", basis)
    octave = torch.where(index > 0, index.double().clamp(min=1).log2().floor().long() + 1, 0)
    if bands not in (None, count := int(octave.max()) + 1):
        raise ValueError(f"expected null or {count} bands for octave ({height} x {width}, {basis}), got {bands}")
    return octave


def _rings(height: int, width: int, basis: Basis) -> Tensor:
    """Ring of every coefficient, numbered from DC: equal Euclidean distance, with frequencies in cycles per pixel."""
    u, v = shells(height, 1, "linf", basis), shells(1, width, "linf", basis)
    distance = (u * width) ** 2 + (v * height) ** 2  # times (H W)^2, to be an integer: equal distances compare equal
    return distance.unique(return_inverse=True)[1]


def _join(weights: Tensor, groups: int) -> Tensor:
    """Group 0..groups-1 of each of the consecutive weights, groups of about equal sums: (n,) -> (n,) integers.

    Each group in turn takes the number of weights, at least one, whose sum is nearest to its share of what remains.
    """
    group, first = torch.empty(len(weights), dtype=torch.int64), 0
    for number in range(groups):
        most = len(weights) - first - (groups - number - 1)  # one weight stays for each later group
        share = weights[first:].sum() / (groups - number)
        sums = weights[first : first + most].cumsum(0)
        taken = most if number == groups - 1 else 1 + int((sums - share).abs().argmin())
        group[first : first + taken] = number
        first += taken
    return group
