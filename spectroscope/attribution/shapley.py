"""Shapley values of frequency bands: what each band adds to the score, averaged over all orders of adding bands.

The players are bands; the value of a coalition is the score of the image with only those bands, the baseline's in place
of the others (Luo et al. 2024; Chen et al. 2022). All images see the same coalitions, and no rescaling follows: the
values of an image sum to v(all) - v(none) (efficiency).
"""

from math import comb

import torch
from torch import Tensor

EXACT_BANDS = 10


def shapley(values: Tensor) -> Tensor:
    """Exact Shapley values from the value of every coalition: (N, 2^B) -> (N, B), in float64.

    Coalition r holds band k where bit k of r is set (`occlusion.every_coalition`). phi_k = sum over S without k of
    |S|! (B - |S| - 1)! / B! (v(S + k) - v(S)) (Shapley 1953).
    """
    bands = values.shape[1].bit_length() - 1
    if values.shape[1] != 2**bands:
        raise ValueError(f"expected the values of 2^B coalitions, got {values.shape[1]}")
    check_exact(bands)
    coalition = torch.arange(2**bands)
    holds = (coalition[:, None] >> torch.arange(bands)) & 1 == 1  # (2^B, B)
    others = holds.sum(1, keepdim=True) - holds.long()  # members besides the band
    weight = torch.tensor([1 / (bands * comb(bands - 1, size)) for size in range(bands)], dtype=torch.float64)
    signed = torch.where(holds, weight[others], -weight[others])
    return values.double().cpu() @ signed


def check_exact(bands: int) -> None:
    """ValueError for more bands than all their coalitions can be computed of."""
    if bands > EXACT_BANDS:
        raise ValueError(
            f"expected at most {EXACT_BANDS} bands for exact Shapley values (2^B coalitions), got {bands}: "
            "use sampled_shapley"
        )


def drawn_orders(bands: int, pairs: int, generator: torch.Generator) -> Tensor:
    """Random orders of the bands, each followed by its reverse (antithetic; Mitchell et al. 2022): (2 * pairs, B)."""
    orders = torch.stack([torch.randperm(bands, generator=generator) for _ in range(pairs)])
    return torch.stack([orders, orders.flip(1)], 1).flatten(0, 1)


def growing(orders: Tensor) -> Tensor:
    """Coalitions that grow along each order, from none to all: (M, B) -> (M * (B + 1), B) booleans."""
    bands = orders.shape[1]
    place = orders.argsort(1)  # (M, B) when each band comes
    return (place[:, None, :] < torch.arange(bands + 1)[None, :, None]).flatten(0, 1)


def sampled_shapley(values: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
    """Shapley values and their standard errors from sampled orders: (N, B) twice, in float64.

    values (N, M * (B + 1)): of the coalitions of `growing(orders)`, orders as of `drawn_orders`. The error is that of a
    mean over independent pairs; NaN for one pair. Efficiency holds for every order, hence for the mean.
    """
    count, bands = orders.shape
    steps = values.double().cpu().view(len(values), count, bands + 1).diff(dim=2)  # (N, M, B) in the order of adding
    gains = steps.gather(2, orders.argsort(1).expand(len(values), -1, -1))  # (N, M, B) by band
    pairs = gains.view(len(values), count // 2, 2, bands).mean(2)
    return pairs.mean(1), pairs.std(1) / (count // 2) ** 0.5
