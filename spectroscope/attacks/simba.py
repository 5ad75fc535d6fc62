"""SimBA: a black-box attack by scores alone, along single pixels or single DCT coefficients (Guo et al. 2019)."""

import math

import torch
from torch import Tensor

from spectroscope.attacks.queries import Queried
from spectroscope.attacks.settings import Simba
from spectroscope.spectrum import idct2


@torch.no_grad()
def simba(settings: Simba, predict: Queried, x: Tensor, labels: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries, or the point reached when the queries ran out: (N, C, H, W) (Guo et al. 2019, Algorithm 1).

    Each image draws directions without replacement, in an order by its own generator, tries + and then - the step,
    and keeps what lowers the probability of its label or, with a target, raises that of the target; all images that
    still resist share one forward pass. Deviations: probabilities are compared as log odds, which do not saturate in
    float32; a step that fools is kept even where that probability does not improve; an order walked to its end is
    walked again; the l-inf bound and the clip to [0, 1] (Wang et al. 2020; the original has neither in its algorithm).
    """
    shape = x.shape[1:]
    height, width = _searched(settings.freq_dims, *shape[1:])
    eps = settings.ball.eps if settings.ball else math.inf
    count = shape[0] * height * width
    order = torch.stack(
        [torch.randperm(count, generator=generator)[: settings.max_queries] for generator in generators]
    )
    order = order.to(x.device)
    place, sign = torch.zeros_like(labels), torch.ones_like(labels)
    change = torch.zeros_like(x)
    odds = predict.odds(predict(x))
    resisting = torch.arange(len(x), device=x.device)

    for _ in range(settings.max_queries - 1):
        if not len(resisting):
            break
        index = order[resisting, place[resisting] % order.shape[1]]  # (m,)
        step = sign[resisting] * settings.step_size  # (m,)
        tried = change[resisting] + step[:, None, None, None] * _directions(index, settings.basis, shape, height, width)
        tried = (x[resisting] + tried.clamp(-eps, eps)).clamp(0, 1) - x[resisting]
        logits = predict(x[resisting] + tried, resisting)
        reached = predict.odds(logits, resisting)
        fooled = predict.fooled(logits, resisting)
        kept = fooled | (reached < odds[resisting])
        change[resisting[kept]], odds[resisting[kept]] = tried[kept], reached[kept]
        done = kept | (sign[resisting] < 0)
        place[resisting] += done
        sign[resisting] = torch.where(done, 1, -1)
        resisting = resisting[~fooled]
    return x + change


def _searched(freq_dims: int | None, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the plane of directions that are searched."""
    if freq_dims is None:
        return height, width
    if freq_dims > min(height, width):
        raise ValueError(f"expected freq_dims <= {min(height, width)} for {height} x {width} images, got {freq_dims}")
    return freq_dims, freq_dims


def _directions(index: Tensor, basis: str, shape: torch.Size, height: int, width: int) -> Tensor:
    """Directions of norm 1: index (m,) into (C, height, width) -> (m, C, H, W)."""
    rows = torch.arange(len(index), device=index.device)
    channel, within = index // (height * width), index % (height * width)
    plane = torch.zeros(len(index), *shape[1:], device=index.device)
    plane[rows, within // width, within % width] = 1
    directions = torch.zeros(len(index), *shape, device=index.device)
    directions[rows, channel] = idct2(plane) if basis == "dct" else plane
    return directions
