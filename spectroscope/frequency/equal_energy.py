"""Coefficients that hold as much energy as a band: the control of removing the band.

Removing a band takes energy out of an image. Whether it is this band that matters shows beside an image that lost as
much energy elsewhere.
"""

import torch
from torch import Tensor

from spectroscope.frequency.spectrum import Basis, mirrored
from spectroscope.pipeline import machine


def random_orders(images: range, size: int, seed: int) -> Tensor:
    """An order of `size` coefficients for each image, by its number: (N, size), the same in every batch."""
    return torch.stack([torch.randperm(size, generator=machine.generator(seed, image)) for image in images])


def equal_energy(spectrum: Tensor, band: Tensor, orders: Tensor, basis: Basis) -> Tensor:
    """Coefficients to remove in place of a band: spectra (N, C, H, W) as of `spectrum.analyse` -> (N, H, W) booleans.

    band (H, W) booleans; orders (N, H * W): of `random_orders`. In its order each coefficient above DC and outside the
    band is taken, in all channels, unless more energy would then be gone than the band holds: what is missing in the
    end is less than any coefficient left. Where the rest holds less than the band, all of it is taken. In the DFT a
    coefficient goes with its mirror. Energy: sum over channels of squared magnitudes.

    >>> from spectroscope.frequency.spectrum import dct2, shells
    >>> spectrum, band = dct2(torch.rand(2, 3, 8, 8)), shells(8, 8) >= 4
    >>> removed = equal_energy(spectrum, band, random_orders(range(2), 64, seed=0), "dct")
    >>> bool((removed & band).any()), removed[:, 0, 0].tolist()
    (False, [False, False])
    """
    height, width = band.shape
    energy = spectrum.abs().square().sum(1).double().flatten(1).cpu()  # (N, H W)
    place = torch.arange(height * width)
    partner = place if basis == "dct" else mirrored(place.view(height, width)).flatten()
    pair = torch.where(partner == place, energy, energy + energy[:, partner])
    usable = ~band.flatten().cpu() & (place <= partner)  # of a coefficient and its mirror the first stands for both
    usable[0] = False
    in_order = torch.where(usable, pair, torch.inf).gather(1, orders).T.contiguous()  # (H W, N)
    left = energy[:, band.flatten().cpu()].sum(1)
    taken = torch.empty_like(in_order, dtype=torch.bool)
    for step, own in enumerate(in_order):
        taken[step] = own <= left
        left = left - torch.where(taken[step], own, 0.0)
    removed = torch.zeros_like(energy, dtype=torch.bool).scatter(1, orders, taken.T)
    return (removed | removed[:, partner]).view(-1, height, width).to(spectrum.device)
