"""Images and perturbations whose spectra are known, for the tests of `spectroscope.perturbation`."""

import numpy as np
import pandas as pd
import torch

from spectroscope.frequency.spectrum import idct2
from spectroscope.perturbation.null import Null, noise_null
from spectroscope.perturbation.spectra import PerturbationSettings, Spectra, compute_spectra, leave_out
from spectroscope.pipeline import machine
from spectroscope.statistics.estimates import StatisticsSettings

EXACT = {"rtol": 0, "atol": 1e-10}
SETTINGS = PerturbationSettings(n_images=1000, channels="each", shapes=["linf"], noise_seed=0, noise_draws=6, splits=3)
STATISTICS = StatisticsSettings(confidence=0.95, groups=10)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def natural(n: int, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Images whose amplitude falls as 1/f, as photographs' does: (n, 1, size, size)."""
    f = torch.hypot(*torch.meshgrid(*2 * [torch.arange(size).double()], indexing="ij")).clamp_min(1)
    amplitudes = torch.randn(n, 1, size, size, generator=generator(seed), dtype=torch.float64) / f
    return (0.5 + 0.12 * idct2(amplitudes)).clamp(0, 1)


def white(x: torch.Tensor, seed: int = 1, size: float = 0.05) -> torch.Tensor:
    """Gaussian noise through the clip."""
    return (x + size * torch.randn(x.shape, generator=generator(seed), dtype=x.dtype)).clamp(0, 1) - x


def banded(x: torch.Tensor, inside: torch.Tensor, seed: int = 1) -> torch.Tensor:
    """A perturbation of these coefficients alone."""
    return 0.02 * idct2(torch.randn(x.shape, generator=generator(seed), dtype=x.dtype) * inside)


def crossed_units(seeds: int, n: int) -> np.ndarray:
    """Seed and image of each perturbation: every image for every seed."""
    return np.stack([np.repeat(np.arange(seeds) * 10, n), np.tile(np.arange(n), seeds)], axis=1)


def spectra_of(x: torch.Tensor, change: torch.Tensor, seeds: int = 1, settings=SETTINGS) -> list[Spectra]:
    """Spectra of the perturbations of each network, all of the same len(x) / seeds images, in groups of every tenth."""
    n = len(x) // seeds
    weights = leave_out(np.arange(n) % 10, max(2, min(n, 10)))
    parts = zip(x.split(n), change.split(n), strict=True)
    return [compute_spectra(clean, own, np.arange(n), weights, settings) for clean, own in parts]


def nulls_of(x: torch.Tensor, change: torch.Tensor, seeds: int = 1, settings=SETTINGS) -> list[Null]:
    """The null of each network."""
    stream, n = machine.generator(settings.noise_seed, 1), len(x) // seeds
    parts = zip(x.split(n), change.split(n), strict=True)
    return [noise_null(clean, own, settings, stream) for clean, own in parts]


def outcomes_of(units: np.ndarray) -> pd.DataFrame:
    """Rows of an attack that succeeded everywhere."""
    return pd.DataFrame(units, columns=["seed", "image"]).assign(success=True)
