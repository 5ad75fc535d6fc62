"""SimBA: a black-box attack by scores alone, along the directions of an orthonormal basis (Guo et al. 2019)."""

import math

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings import Simba
from spectroscope.frequency.spectrum import idct2


@torch.no_grad()
def simba(
    settings: Simba, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """Adversaries, or the point reached when the queries ran out: (N, C, H, W) (Guo et al. 2019, Algorithm 1).

    Each image draws directions without replacement, in an order by its own generator, tries + and then - the step,
    and keeps what lowers the probability of its label, or raises that of its target; all images that still resist share
    one forward pass. Deviations: probabilities are compared as log odds, which do not saturate in float32; a step that
    fools is kept even where it does not lower that probability; an order walked to its end is walked again; the l-inf
    bound and the clip to [0, 1] (Wang et al. 2020; the original has neither in its algorithm).
    """
    channels, height, width = x.shape[1:]
    rows, columns = _searched(settings.freq_dims, height, width)
    eps = settings.ball.eps if settings.ball else math.inf
    order, vertical, horizontal = [], [], []
    for generator in generators:
        order.append(torch.randperm(channels * rows * columns, generator=generator)[: settings.max_queries])
        vertical.append(_basis(settings.basis, height, generator))
        horizontal.append(_basis(settings.basis, width, generator))
    order, vertical, horizontal = (torch.stack(each).to(x.device) for each in (order, vertical, horizontal))
    place, sign = torch.zeros_like(labels), torch.ones_like(labels)
    z = x.clone()
    odds = predict.odds(predict(x))
    resisting = torch.arange(len(x), device=x.device)

    for _ in range(settings.max_queries - 1):
        if not len(resisting):
            break
        index = order[resisting, place[resisting] % order.shape[1]]  # (m,) into (channels, rows, columns)
        channel, row, column = index // (rows * columns), index // columns % rows, index % columns
        step = sign[resisting] * settings.step_size  # (m,)
        plane = (step[:, None] * vertical[resisting, row])[:, :, None] * horizontal[resisting, column][:, None, :]
        tried, clean = z[resisting], x[resisting]
        each = torch.arange(len(resisting), device=x.device)
        tried[each, channel] += plane
        tried = (clean + (tried - clean).clamp(-eps, eps)).clamp(0, 1)
        logits = predict(tried, resisting)
        reached = predict.odds(logits, resisting)
        fooled = predict.fooled(logits, resisting)
        kept = fooled | (reached < odds[resisting])
        z[resisting[kept]], odds[resisting[kept]] = tried[kept], reached[kept]
        done = kept | (sign[resisting] < 0)
        place[resisting] += done
        sign[resisting] = torch.where(done, 1, -1)
        resisting = resisting[~fooled]
    return z


def _searched(freq_dims: int | None, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the plane of directions that are searched."""
    if freq_dims is None:
        return height, width
    if freq_dims > min(height, width):
        raise ValueError(f"expected freq_dims <= {min(height, width)} for {height} x {width} images, got {freq_dims}")
    return freq_dims, freq_dims


def _basis(kind: str, size: int, generator: torch.Generator) -> Tensor:
    """Orthonormal vectors of one axis, one a row: (size, size). A direction is the product of two of them.

    random: uniform over all such bases (QR of a normal matrix, signs by the diagonal: Mezzadri 2007, section 4), so
    that a direction has no frequency of its own.
    """
    if kind == "pixel":
        return torch.eye(size)
    if kind == "dct":
        return idct2(torch.eye(size)[:, None, :])[:, 0]
    if kind == "random":
        q, r = torch.linalg.qr(torch.randn(size, size, generator=generator))
        return (q * r.diagonal().sign()).T
    raise ValueError(f"expected basis pixel, dct or random, got {kind!r}")
