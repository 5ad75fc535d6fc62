"""Spectra of one network's perturbations and of their images, computed once and passed on to every estimator and table.

Every statistic is a function of weights of the perturbations. `Spectra.weights` are those of the jackknife, so that a
statistic comes in replicates (1 + G, ...): of all perturbations first, then without each of G groups of images in turn.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.spectrum import Shape, dct2
from spectroscope.pipeline.params import Distinct, Seed, Settings


class PerturbationSettings(Settings):
    """The images, the transform, and the noise that perturbations are compared with.

    `n_images`: perturbations of the first `n_images` test images are analysed. `shapes`: shapes of the shells; classes
    and phases use the first. `noise_seed`: of the control, of the null and of the halvings. `noise_draws`: independent
    draws of norm-matched noise, which make the null. `splits`: random halvings of the images behind an estimator's
    split-half gap.
    """

    n_images: Annotated[int, Field(ge=2)]
    channels: Channels
    shapes: Annotated[list[Shape], Field(min_length=1), Distinct]
    noise_seed: Seed
    noise_draws: Annotated[int, Field(ge=3)]
    splits: Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class Spectra:
    """Everything that the statistics of one network's perturbations are computed from; C: transformed channels.

    images, perturbations (N, C, H, W): pixels of the transformed channels.
    change, reference (N * C, H, W): DCT of adversary - image and of the image, channels pooled with images.
    power (N, H, W): squared DCT coefficients of each perturbation, summed over channels.
    rows (N,): the row of each image among the test images.
    weights (1 + G, N), 0 or 1: which perturbations count in each replicate.
    """

    images: Tensor
    perturbations: Tensor
    change: Tensor
    reference: Tensor
    power: Tensor
    rows: np.ndarray
    weights: Tensor
    settings: PerturbationSettings

    def by_row(self, weights: Tensor) -> Tensor:
        """Weights of perturbations as weights of the rows of `change`, one a channel: (D, N) -> (D, N * C)."""
        return weights.to(self.change.dtype).repeat_interleave(self.images.shape[1], 1)


def compute_spectra(
    clean: Tensor, perturbations: Tensor, rows: np.ndarray, weights: Tensor, settings: PerturbationSettings
) -> Spectra:
    """Spectra of perturbations of the images `clean`: (N, C, H, W) twice, rows (N,), weights (1 + G, N)."""
    change, reference = change_and_reference(clean, clean + perturbations, settings.channels)
    pixels = seen(clean, settings.channels), seen(perturbations, settings.channels)
    return Spectra(*pixels, change, reference, power(pixels[1]), rows, weights, settings)


def with_perturbations(spectra: Spectra, clean: Tensor, perturbations: Tensor) -> Spectra:
    """Spectra of other perturbations of the same images: reference, rows and weights are those of `spectra`."""
    pixels, change = (seen(x, spectra.settings.channels) for x in (perturbations, (clean + perturbations) - clean))
    return replace(spectra, perturbations=pixels, change=dct2(change).flatten(0, 1), power=power(pixels))


def subset(spectra: Spectra, chosen: Tensor, weights: Tensor) -> Spectra:
    """Spectra of the perturbations `chosen` (n,) alone, with weights (1 + G, n) of their own."""
    shape = spectra.images.shape[:2]
    return replace(
        spectra,
        images=spectra.images[chosen],
        perturbations=spectra.perturbations[chosen],
        change=spectra.change.unflatten(0, shape)[chosen].flatten(0, 1),
        reference=spectra.reference.unflatten(0, shape)[chosen].flatten(0, 1),
        power=spectra.power[chosen],
        rows=spectra.rows[chosen.numpy()],
        weights=weights,
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


def leave_out(groups: np.ndarray, n_groups: int) -> Tensor:
    """Weights of the jackknife: every perturbation, then all but those of each group: (N,) of 0..G-1 -> (1 + G, N)."""
    without = groups != np.arange(n_groups)[:, None]
    return torch.from_numpy(np.concatenate([np.ones((1, len(groups)), bool), without]).astype(np.int64))
