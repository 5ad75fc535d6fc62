"""Spectra of a set of perturbations and of their images, computed once and passed on to every estimator and table.

A set holds N perturbations, each of one image and one network (seed). Statistics of a set are stacked in `replicates`
(1 + resamples, ...): first the statistic of the whole set, then that of each bootstrap draw.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.spectrum import Shape, dct2
from spectroscope.pipeline.params import Settings
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings


class PerturbationSettings(Settings):
    """The images, the transform, and the noise that perturbations are compared with.

    `n_images`: perturbations of the first `n_images` test images are analysed. `shapes`: shapes of the shells; classes
    and phases use the first. `noise_draws`: independent draws of norm-matched noise, which make the null. `resamples`:
    bootstrap draws behind an interval. `splits`: random halvings of the images behind an estimator's split-half gap.
    """

    n_images: Annotated[int, Field(ge=2)]
    channels: Channels
    shapes: Annotated[list[Shape], Field(min_length=1)]
    noise_seed: Annotated[int, Field(ge=0)]
    noise_draws: Annotated[int, Field(ge=3)]
    resamples: Annotated[int, Field(ge=20)]
    splits: Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class Spectra:
    """Everything that the statistics of one set of perturbations are computed from; C: transformed channels.

    images, perturbations (N, C, H, W): pixels of the transformed channels.
    change, reference (N * C, H, W): DCT of adversary - image and of the image, channels pooled with images.
    power (N, H, W): squared DCT coefficients of each perturbation, summed over channels.
    units (N, 2): seed and image of each perturbation.
    weights (1 + resamples, N), whole numbers: how often each perturbation counts in each replicate.
    """

    images: Tensor
    perturbations: Tensor
    change: Tensor
    reference: Tensor
    power: Tensor
    units: np.ndarray
    weights: Tensor
    settings: PerturbationSettings
    statistics: StatisticsSettings

    def by_row(self, weights: Tensor) -> Tensor:
        """Weights of perturbations as weights of the rows of `change`, one a channel: (D, N) -> (D, N * C)."""
        return weights.to(self.change.dtype).repeat_interleave(self.images.shape[1], 1)


def compute_spectra(
    clean: Tensor, perturbations: Tensor, units: np.ndarray, settings: PerturbationSettings, stats: StatisticsSettings
) -> Spectra:
    """Spectra of perturbations of the images `clean`, and their bootstrap draws: (N, C, H, W) twice, units (N, 2)."""
    change, reference = change_and_reference(clean, clean + perturbations, settings.channels)
    pixels = seen(clean, settings.channels), seen(perturbations, settings.channels)
    weights = bootstrap_weights(units, settings.resamples, stats)
    return Spectra(*pixels, change, reference, power(pixels[1]), units, weights, settings, stats)


def with_perturbations(spectra: Spectra, clean: Tensor, perturbations: Tensor) -> Spectra:
    """Spectra of other perturbations of the same images: reference, units and draws are those of `spectra`."""
    pixels, change = (seen(x, spectra.settings.channels) for x in (perturbations, (clean + perturbations) - clean))
    return replace(spectra, perturbations=pixels, change=dct2(change).flatten(0, 1), power=power(pixels))


def subset(spectra: Spectra, rows: Tensor) -> Spectra:
    """Spectra of the perturbations `rows` (n,) alone, which are resampled within themselves."""
    units, shape = spectra.units[rows.numpy()], spectra.images.shape[:2]
    return replace(
        spectra,
        images=spectra.images[rows],
        perturbations=spectra.perturbations[rows],
        change=spectra.change.unflatten(0, shape)[rows].flatten(0, 1),
        reference=spectra.reference.unflatten(0, shape)[rows].flatten(0, 1),
        power=spectra.power[rows],
        units=units,
        weights=bootstrap_weights(units, spectra.settings.resamples, spectra.statistics),
    )


def change_and_reference(clean: Tensor, adversarial: Tensor, channels: Channels) -> tuple[Tensor, Tensor]:
    """DCT of adversarial - clean and of clean, channels pooled with images: (N, C, H, W) twice -> (N * C, H, W) twice.

    ValueError for images of another shape, none, or NaN or infinite ones.
    """
    if clean.shape != adversarial.shape or clean.ndim != 4 or clean.shape[1] not in (1, 3):
        shapes = f"{tuple(clean.shape)} and {tuple(adversarial.shape)}"
        raise ValueError(f"expected two sets of images (N, 1 or 3, H, W) of one shape, got {shapes}")
    if len(clean) == 0:
        raise ValueError("expected at least one image, got none")
    change = adversarial - clean
    if not (clean.sum().isfinite() and change.sum().isfinite()):
        raise ValueError("expected finite images, got NaN or infinity")
    return dct2(seen(change, channels)).flatten(0, 1), dct2(seen(clean, channels)).flatten(0, 1)


def power(perturbations: Tensor) -> Tensor:
    """Squared DCT coefficients, summed over channels: (N, C, H, W) -> (N, H, W)."""
    return dct2(perturbations).square().sum(1)


def bootstrap_weights(units: np.ndarray, resamples: int, statistics: StatisticsSettings) -> Tensor:
    """How often each perturbation counts, in the whole set (once) and in each draw: units (N, 2) -> (1 + resamples, N).

    A draw resamples seeds and images, crossed: a perturbation counts as often as its seed times its image. Draws in
    which nothing counts, as may happen where not every pair of seed and image has a perturbation, are drawn again.
    """
    _, seed = np.unique(units[:, 0], return_inverse=True)
    _, image = np.unique(units[:, 1], return_inverse=True)
    rng = bootstrap.stream(statistics, "perturbations")
    weights = [np.ones(len(units), np.int64)]
    while len(weights) <= resamples:
        seeds, images = (
            np.bincount(rng.integers(0, n := unit.max() + 1, n), minlength=n)[unit] for unit in (seed, image)
        )
        if (seeds * images).any():
            weights.append(seeds * images)
    return torch.from_numpy(np.stack(weights))
