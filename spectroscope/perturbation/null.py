"""The control of a perturbation, and the score that is calibrated by it.

White noise of each perturbation's norm is pushed through the same clip. The score of a coefficient is the logarithm of
how much more the attack changes it than that noise does: 0 for noise itself, whatever the images look like, because the
clean spectrum, whose small values spoil the relative change, cancels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.exact_norm import clipped_to
from spectroscope.frequency.spectrum import dct2


def matched_noise(clean: Tensor, perturbations: Tensor, generator: torch.Generator) -> Tensor:
    """The control: white noise of each perturbation's l2 norm, added to the image and clipped to [0, 1] like it.

    (N, C, H, W) twice -> (N, C, H, W), the change that is left after the clip: its norm is the perturbation's, but
    where the clip leaves no room for it.
    """
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
    return clipped_to(clean, noise, "l2", perturbations.flatten(1).norm(dim=1))


def power(perturbations: Tensor, channels: Channels) -> Tensor:
    """Squared DCT coefficients, summed over channels: (N, C, H, W) -> (N, H, W).

    No power is smaller than the square of the transform's rounding error, 4 eps times the perturbation's norm: an
    attack confined to a band then has a score outside it, a very low one, and no logarithm of 0.
    """
    found = dct2(seen(perturbations, channels)).square().sum(1)
    floor = (4 * torch.finfo(found.dtype).eps) ** 2 * found.sum((1, 2), keepdim=True)
    return torch.maximum(found, floor)


def null_power(
    clean: Tensor, perturbations: Tensor, channels: Channels, draws: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Power of `draws` independent draws of the control, one after the other: each (N, H, W)."""
    for _ in range(draws):
        yield power(matched_noise(clean, perturbations, generator), channels)


def score(attack: Tensor, null: Tensor) -> Tensor:
    """Half the logarithm of power over power: the log ratio of root-mean-square changes."""
    return (attack / null).log() / 2


def null_spread(totals: Tensor) -> Tensor:
    """How noise scores against noise: standard deviation over draws of each draw's score against the mean of the rest.

    totals (draws, K): power of each draw, summed over images, by shell or coefficient -> (K,).
    """
    rest = (totals.sum(0) - totals) / (len(totals) - 1)
    return score(totals, rest).std(0)
