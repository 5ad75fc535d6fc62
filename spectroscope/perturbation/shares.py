"""Where the power of a perturbation lies, and whether it moves phases or amplitudes."""

import torch
from torch import Tensor

from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import dct2


def power_by_shell(perturbations: Tensor, index: Tensor) -> Tensor:
    """Share of each perturbation's power (squared DCT coefficients) in each shell: (N, C, H, W) -> (N, shells).

    `index` (H, W) as of `spectrum.shells`. Rows sum to 1; the row of a perturbation that is zero is NaN.
    """
    by_shell = by_band(dct2(perturbations).square().sum(1), index)
    return by_shell / by_shell.sum(1, keepdim=True)


def mean_by_shell(maps: Tensor, index: Tensor) -> Tensor:
    """Mean of each map over the coefficients of each shell: (..., H, W) -> (..., shells)."""
    return by_band(maps, index) / torch.bincount(index.flatten()).to(maps)


def phase_and_amplitude(clean: Tensor, perturbations: Tensor) -> tuple[Tensor, Tensor]:
    """Power that turns phases and power that scales amplitudes, of every DFT coefficient: (N, C, H, W) -> (N, H, W).

    With F the unitary DFT of the image and F' that of image + perturbation, |F' - F|^2 is exactly
    (|F'| - |F|)^2 + 2 |F| |F'| (1 - cos of the angle between them): the second term is the amplitude's and the first
    of the two results the phase's. Channels are summed; the layout is that of an unshifted full-size FFT.
    """
    before = torch.fft.fft2(clean, norm="ortho")
    change = torch.fft.fft2(perturbations, norm="ortho")
    total = change.abs().square()
    amplitude = ((before + change).abs() - before.abs()).square()
    return (total - amplitude).clamp_min(0).sum(1), amplitude.sum(1)
