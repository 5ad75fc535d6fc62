"""Whether a perturbation turns the phases of an image's spectrum or scales its amplitudes."""

import torch
from torch import Tensor

from spectroscope.frequency.partitions import by_band


def phase_and_amplitude(clean: Tensor, perturbations: Tensor) -> tuple[Tensor, Tensor]:
    """Power that turns phases and power that scales amplitudes, of every DFT coefficient: (N, C, H, W) -> (N, H, W).

    With F the unitary DFT of the image and F' that of image + perturbation, |F' - F|^2 is exactly
    (|F'| - |F|)^2 + 2 |F| |F'| (1 - cos of the angle between them): the first term is the amplitude's, the second the
    phase's. Channels are summed; the layout is that of an unshifted full-size FFT.
    """
    before = torch.fft.fft2(clean, norm="ortho")
    change = torch.fft.fft2(perturbations, norm="ortho")
    total = change.abs().square()
    amplitude = ((before + change).abs() - before.abs()).square()
    return (total - amplitude).clamp_min(0).sum(1), amplitude.sum(1)


def phase_share(clean: Tensor, perturbations: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Share of each band's changed power that turns phases, for each row of weights (D, N): (D, bands).

    index (H, W): the band of each DFT coefficient.
    """
    phase, amplitude = (by_band(part, index).double() for part in phase_and_amplitude(clean, perturbations))
    turned = weights.double() @ phase
    return turned / (turned + weights.double() @ amplitude)
