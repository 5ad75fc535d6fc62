"""Gradients with respect to the coefficients of a spectrum.

The transforms are orthonormal, so that the gradient with respect to the coefficients is the spectrum of the input
gradient (Krishnamachari et al. 2023). A value stands for one coefficient (u, v), summed over channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attribution.scores import checked
from spectroscope.attribution.scores import score as score_of
from spectroscope.attribution.settings import Score
from spectroscope.frequency.spectrum import Basis, analyse
from spectroscope.pipeline.progress import track

Model = Callable[[Tensor], Tensor]


@torch.enable_grad()
def input_gradients(model: Model, images: Tensor, labels: Tensor, score: Score, chunk: int) -> Tensor:
    """Gradient of each image's score with respect to its pixels: (N, C, H, W) -> (N, C, H, W)."""
    found = []
    for x, y in zip(images.split(max(1, chunk)), labels.split(max(1, chunk)), strict=True):
        x = x.detach().requires_grad_(True)
        total = score_of(checked(model(x), len(x)), y.to(x.device), score).sum()
        found.append(torch.autograd.grad(total, x)[0].detach())
    return torch.cat(found)


def sensitivity(gradients: Tensor, basis: Basis) -> Tensor:
    """Squared gradient with respect to each coefficient: pixel gradients (N, C, H, W) -> (N, H, W).

    Summed over a band and divided by the whole it is the spectral sensitivity of Krishnamachari et al. 2023.
    """
    return analyse(gradients, basis).abs().square().sum(1)


def products(gradients: Tensor, change: Tensor, basis: Basis) -> Tensor:
    """Gradient times coefficient: pixel gradients and pixel change (N, C, H, W) -> (N, H, W), sum = <gradient, change>.

    In the DFT: the real part of conj(coefficient) times gradient, the same for a coefficient and its mirror.
    """
    return (analyse(change, basis).conj() * analyse(gradients, basis)).real.sum(1)


def smoothed_gradients(
    model: Model,
    images: Tensor,
    labels: Tensor,
    score: Score,
    *,
    samples: int,
    sigma: float,
    generator: torch.Generator,
    chunk: int,
) -> Tensor:
    """Mean gradient over `samples` copies with Gaussian noise of standard deviation `sigma` (Smilkov et al. 2017)."""
    total = torch.zeros_like(images)
    for _ in track(range(samples), "smoothed gradients"):
        noise = sigma * torch.randn(images.shape, generator=generator).to(images)
        total += input_gradients(model, images + noise, labels, score, chunk)
    return total / samples


def integrated_gradients(
    model: Model,
    images: Tensor,
    labels: Tensor,
    score: Score,
    *,
    basis: Basis,
    baseline: Tensor | None,
    steps: int,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Integrated gradients of each coefficient (Sundararajan et al. 2017, Eq. 1), and how far they are from complete.

    (N, H, W), and (N,): |sum of the values - (score of the image - score of the baseline)|, which falls with the number
    of `steps` (midpoint rule on the straight line from the baseline; None is zeros).
    """
    start = torch.zeros_like(images) if baseline is None else baseline.to(images).expand_as(images)
    change, mean = images - start, torch.zeros_like(images)
    for step in track(range(steps), "integrated gradients"):
        mean += input_gradients(model, start + (step + 0.5) / steps * change, labels, score, chunk) / steps
    values = products(mean, change, basis)
    ends = [scores(model, x, labels, score, chunk) for x in (images, start)]
    return values, (values.sum((1, 2)) - (ends[0] - ends[1])).abs()


@torch.no_grad()
def scores(model: Model, images: Tensor, labels: Tensor, score: Score, chunk: int) -> Tensor:
    """Score of each image: (N,)."""
    parts = zip(images.split(max(1, chunk)), labels.split(max(1, chunk)), strict=True)
    return torch.cat([score_of(checked(model(x), len(x)), y.to(x.device), score) for x, y in parts])
