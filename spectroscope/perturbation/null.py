"""Norm-matched noise, the control of a perturbation, and the score that is calibrated by it.

White noise with each perturbation's norm is added to the same image and clipped alike. The score of a coefficient is
the logarithm of how much more the attack changes it than noise does. It is 0 for noise itself, whatever the images: the
clean spectrum, whose small values spoil a relative change, cancels.

The null is known from a few draws of noise only. Its error needs no term of its own in an interval: every perturbation
of every network has noise drawn for it alone, so the error is independent between images and between networks, and a
group of images that is left out takes its part of the error with it. The pseudo-values vary by it already.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spectroscope.frequency.channels import seen
from spectroscope.frequency.exact_norm import clipped_to
from spectroscope.perturbation.spectra import PerturbationSettings, power


@dataclass(frozen=True)
class Null:
    """Power of norm-matched noise: mean over draws for each perturbation (N, H, W), and sums of each draw.

    totals (draws, H, W): power of a draw, summed over the perturbations.
    """

    power: Tensor
    totals: Tensor


def matched_noise(clean: Tensor, perturbations: Tensor, generator: torch.Generator) -> Tensor:
    """White noise of each perturbation's l2 norm, as it changes the image after the clip to [0, 1].

    (N, C, H, W) twice -> (N, C, H, W). The norm is smaller where black and white leave no room for it.
    """
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype).to(clean.device)
    return clipped_to(clean, noise, "l2", perturbations.flatten(1).norm(dim=1))


def noise_null(
    clean: Tensor, perturbations: Tensor, settings: PerturbationSettings, generator: torch.Generator
) -> Null:
    """The null of one network's perturbations. Networks share the stream, so that none has the noise of another."""
    mean, totals = torch.zeros_like(clean[:, 0]), []
    for _ in range(settings.noise_draws):
        noise = matched_noise(clean, perturbations, generator)
        noise_power = floored(power(seen(noise, settings.channels)))
        totals.append(noise_power.sum(0, dtype=torch.float64))
        mean = mean + noise_power / settings.noise_draws
    return Null(mean, torch.stack(totals))


def floored(powers: Tensor) -> Tensor:
    """Power that is at least the square of the transform's rounding error, 4 eps times the perturbation's norm.

    (N, H, W) -> (N, H, W). An attack confined to a band then has a score outside it, a very low one: there is no
    logarithm of 0.
    """
    floor = (4 * torch.finfo(powers.dtype).eps) ** 2 * powers.sum((1, 2), keepdim=True)
    return torch.maximum(powers, floor)


def score(attack: Tensor, noise: Tensor) -> Tensor:
    """Half the logarithm of a ratio of powers: the log ratio of root-mean-square changes."""
    return (attack / noise).log() / 2


def scores(attack: Tensor, noise: Tensor, weights: Tensor) -> Tensor:
    """Score of each weighted sum of the perturbations' power: (N, ...) twice, weights (D, N) -> (D, ...)."""
    sums = ((weights.double() @ x.double().flatten(1)).unflatten(1, x.shape[1:]) for x in (attack, noise))
    return score(*sums)


def null_spread(totals: Tensor) -> Tensor:
    """Standard deviation of the score of a further draw of noise in place of the attack, averaged over networks.

    totals (S, draws, K): power of each draw for each network, summed over perturbations -> (K,). The score of a draw
    against the mean of all others has the variance of a single draw, s^2, plus that of the mean, s^2 / draws; s^2 is
    estimated from the draws, with draws - 1 degrees of freedom.
    """
    n_draws = totals.shape[1]
    return (totals.log() / 2).mean(0).std(0) * math.sqrt(1 + 1 / n_draws)
