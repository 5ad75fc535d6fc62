"""How far the decision boundary is when a perturbation may use one band of frequencies alone.

Ortiz-Jimenez et al. 2020 ("Hold me tight!"): the median norm of the smallest perturbation inside the span of some DCT
coefficients. A network is invariant to a band with a large margin; it can be fooled cheaply where the margin is small.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.pipeline.params import Settings

OVERSHOOT = 1.02  # of DeepFool's step, so that it ends behind the boundary
ALONG = 1e-4  # added to a step, which would be 0 on the boundary itself
ROUNDING = 1e-5  # a gradient with no more than this part of its norm in the span has nothing there
HALVINGS = 8  # of the way back to the boundary: the norm is found to a 256th


class MarginSearchSettings(Settings):
    """DeepFool's steps, and the classes whose boundaries are tried: the likeliest ones of the clean image."""

    steps: Annotated[int, Field(ge=1)]
    candidates: Annotated[int, Field(ge=1)]


def margins(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, index: Tensor, settings: MarginSearchSettings
) -> Tensor:
    """Norm of a small perturbation inside each band that changes the class: images (N, C, H, W) -> (N, bands).

    index (H, W): the band of each DCT coefficient, in all channels at once. NaN where the image is misclassified
    already, infinity where the loop found no perturbation. Pixels may leave [0, 1], as in the source.
    """
    bands = int(index.max()) + 1
    return torch.stack([within(model, images, labels, index == band, settings) for band in range(bands)], 1)


def within(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, mask: Tensor, settings: MarginSearchSettings
) -> Tensor:
    """The same for one set of coefficients (H, W): (N,).

    DeepFool (Moosavi-Dezfooli et al. 2016, Algorithm 2) with every gradient projected onto the span, then a search by
    halves along the perturbation for the boundary.
    """
    mask = mask.to(images.device)
    with torch.no_grad():
        logits = model(images)
    right = logits.argmax(1) == labels
    others = logits.scatter(1, labels[:, None], -torch.inf).topk(min(settings.candidates, logits.shape[1] - 1)).indices
    change = torch.zeros_like(images)
    open_ = right.clone()  # those still on the right side
    for _ in range(settings.steps):
        rows = open_.nonzero()[:, 0]
        if not len(rows):
            break
        change[rows] += _step(model, images[rows] + change[rows], labels[rows], others[rows], mask)
        with torch.no_grad():
            open_[rows] = model(images[rows] + change[rows]).argmax(1) == labels[rows]
    low, high = torch.zeros_like(logits[:, 0]), torch.ones_like(logits[:, 0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with torch.no_grad():
            still = model(images + middle[:, None, None, None] * change).argmax(1) == labels
        low, high = torch.where(still, middle, low), torch.where(still, high, middle)
    norm = high * change.flatten(1).norm(dim=1)
    norm = torch.where(open_, torch.inf, norm)
    return torch.where(right, norm, torch.nan)


def _step(model: Callable[[Tensor], Tensor], at: Tensor, labels: Tensor, others: Tensor, mask: Tensor) -> Tensor:
    """The step inside the span to the nearest of the linearised boundaries: (N, C, H, W)."""
    at = at.detach().requires_grad_()
    logits = model(at)
    nearest, step = torch.full_like(logits[:, 0], torch.inf), torch.zeros_like(at)
    for other in others.unbind(1):
        ahead = logits.gather(1, labels[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]
        (gradient,) = torch.autograd.grad(-ahead.sum(), at, retain_graph=True)
        slope = idct2(dct2(gradient) * mask)
        whole, norm = (each.flatten(1).norm(dim=1) for each in (gradient, slope))
        blind = norm <= ROUNDING * whole
        distance = torch.where(blind, torch.inf, ahead.detach().clamp_min(0) / torch.where(blind, 1.0, norm))
        length = OVERSHOOT * distance + ALONG
        nearer = distance < nearest
        nearest = torch.where(nearer, distance, nearest)
        step = torch.where(nearer[:, None, None, None], slope * (length / norm)[:, None, None, None], step)
    return step.detach()
