"""Shapley values of frequency bands: what each band adds to the score, averaged over orders of adding bands.

The players are bands; the value of a coalition is the score of the image with only those bands, the baseline's in place
of the others (Luo et al. 2024; Chen et al. 2022). Exact values take all orders, sampled ones some at random. All images
see the same coalitions, and no rescaling follows: the values of an image sum to v(all) - v(none) (efficiency).
"""

from math import comb
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attribution.baselines import Baseline
from spectroscope.attribution.coalitions import coalition_logits, every_coalition
from spectroscope.attribution.inputs import Model, check_images
from spectroscope.attribution.scores import Score, coalition_scores
from spectroscope.attribution.task import Attribution, Task, from_bands
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline.params import Settings


def band_shapley(  # nine arguments: those of `occluded_frequency`
    model: Model,
    images: Tensor,
    labels: Tensor,
    index: Tensor,
    *,
    basis: Basis = "dct",
    baseline: Tensor | None = None,
    score: Score = "logit",
    clip: bool = False,
    chunk: int = 64,
) -> Tensor:
    """Exact Shapley value of each band, from all 2^B coalitions: (N, B), in float64 on the CPU.

    Arguments as of `occluded_frequency`; ValueError also for more than `coalitions.EXACT_BANDS` bands.

    >>> from spectroscope.frequency.partitions import partition
    >>> model = lambda x: x.mean((2, 3)).square()  # one logit for each of three channels
    >>> images, labels = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
    >>> values = band_shapley(model, images, labels, partition(8, 8, "linf", 4, "dct"))
    >>> drop = model(images) - model(torch.zeros_like(images))
    >>> torch.allclose(values.sum(1), drop[[0, 1], labels].double(), atol=1e-5)
    True
    """
    check_images(images, labels)
    present = every_coalition(int(index.max()) + 1)
    logits = coalition_logits(model, images, index, present, basis=basis, baseline=baseline, clip=clip, chunk=chunk)
    return shapley_values(coalition_scores(logits, labels, score))


def shapley_values(scores: Tensor) -> Tensor:
    """Exact Shapley values from the score of every coalition: (N, 2^B) -> (N, B), in float64 on the CPU.

    Coalition r holds band k where bit k of r is set (`coalitions.every_coalition`). phi_k = sum over S without k of
    |S|! (B - |S| - 1)! / B! (v(S + k) - v(S)) (Shapley 1953).
    """
    bands = scores.shape[1].bit_length() - 1
    if scores.shape[1] != 2**bands:
        raise ValueError(f"expected the values of 2^B coalitions, got {scores.shape[1]}")
    holds = every_coalition(bands)  # (2^B, B)
    others = holds.sum(1, keepdim=True) - holds.long()  # members besides the band
    weight = torch.tensor([1 / (bands * comb(bands - 1, size)) for size in range(bands)], dtype=torch.float64)
    signed = torch.where(holds, weight[others], -weight[others])
    return scores.double().cpu() @ signed


class ShapleySettings(Settings):
    """Exact Shapley values of up to ten bands."""

    method: Literal["shapley"]
    baseline: Baseline
    clip: bool


def shapley(task: Task, settings: ShapleySettings) -> Attribution:
    """`band_shapley` from the task's logits of every coalition; error: the gap to v(all) - v(none), of rounding."""
    scores = task.scores(task.every_logits(settings.baseline, settings.clip)).double()
    values = shapley_values(scores)
    return from_bands(values, (values.sum(1) - (scores[:, -1] - scores[:, 0]).cpu()).abs())


class SampledShapleySettings(Settings):
    """Shapley values from `pairs` of random orders of adding bands, each with its reverse."""

    method: Literal["sampled_shapley"]
    baseline: Baseline
    clip: bool
    pairs: Annotated[int, Field(ge=2)]


def sampled_shapley(task: Task, settings: SampledShapleySettings) -> Attribution:
    """Mean gain of each band over the drawn orders; error: the largest standard error among the bands."""
    orders = random_orders(task.n_bands, settings.pairs, task.generator("orders"))
    coalitions, place = growing_coalitions(orders).unique(dim=0, return_inverse=True)
    scores = task.scores(task.logits(coalitions, settings.baseline, settings.clip))
    values, error = mean_gains(scores[:, place.to(scores.device)], orders)
    return from_bands(values, error.amax(1))


def random_orders(bands: int, pairs: int, generator: torch.Generator) -> Tensor:
    """Random orders of the bands, each followed by its reverse (antithetic; Mitchell et al. 2022): (2 * pairs, B)."""
    orders = torch.stack([torch.randperm(bands, generator=generator) for _ in range(pairs)])
    return torch.stack([orders, orders.flip(1)], 1).flatten(0, 1)


def growing_coalitions(orders: Tensor) -> Tensor:
    """Coalitions that grow along each order, from none to all bands: (M, B) -> (M * (B + 1), B) booleans."""
    bands = orders.shape[1]
    place = orders.argsort(1)  # (M, B): when each band is added
    return (place[:, None, :] < torch.arange(bands + 1)[None, :, None]).flatten(0, 1)


def mean_gains(scores: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors from sampled orders: (N, B) twice, in float64 on the CPU.

    scores (N, M * (B + 1)): of the coalitions of `growing_coalitions(orders)`; orders as of `random_orders`. The error
    is that of a mean over independent pairs; NaN for one pair. Gains of every order sum to v(all) - v(none), hence so
    do the values.
    """
    count, bands = orders.shape
    gains = scores.double().cpu().view(len(scores), count, bands + 1).diff(dim=2)  # (N, M, B) in the order of adding
    gains = gains.gather(2, orders.argsort(1).expand(len(scores), -1, -1))  # (N, M, B) by band
    pairs = gains.view(len(scores), count // 2, 2, bands).mean(2)
    return pairs.mean(1), pairs.std(1) / (count // 2) ** 0.5
