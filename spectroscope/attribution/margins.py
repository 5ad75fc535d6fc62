"""Margins inside a band: the distance to the decision boundary for perturbations made of the band's frequencies alone.

Ortiz-Jimenez et al. 2020 ("Hold me tight!"): the median norm of the smallest perturbation inside the span of some DCT
coefficients. A network is invariant to a band with a large margin; it can be fooled cheaply where the margin is small.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attribution.inputs import Model
from spectroscope.attribution.task import Attribution, Task, from_bands, require_dct
from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.pipeline.params import Settings

OVERSHOOT = 1.02  # factor on DeepFool's step, which then ends behind the boundary
MIN_STEP = 1e-4  # added to the length of a step, which would be 0 on the boundary itself
ROUNDING = 1e-5  # a projected gradient below this fraction of the whole one is rounding error
HALVINGS = 8  # bisection steps towards the boundary: the norm is exact to 1 part in 256


class MarginSearchSettings(Settings):
    """Steps of DeepFool; candidates: how many of the likeliest other classes of the clean image are tried."""

    steps: Annotated[int, Field(ge=1)]
    candidates: Annotated[int, Field(ge=1)]


def margins(model: Model, images: Tensor, labels: Tensor, index: Tensor, settings: MarginSearchSettings) -> Tensor:
    """Norm of a small perturbation inside each band that changes the class: images (N, C, H, W) -> (N, bands).

    index (H, W): the band of each DCT coefficient, in all channels at once. NaN for an image that is misclassified
    without a perturbation, infinity where no perturbation was found. Pixels may leave [0, 1], as in the source.
    """
    bands = range(int(index.max()) + 1)
    return torch.stack([within(model, images, labels, index == band, settings) for band in bands], 1)


def within(model: Model, images: Tensor, labels: Tensor, mask: Tensor, settings: MarginSearchSettings) -> Tensor:
    """Norm of a small perturbation inside the span of the coefficients where mask (H, W) is true: (N,).

    DeepFool (Moosavi-Dezfooli et al. 2016, Algorithm 2) with every gradient projected onto the span, then a bisection
    along the perturbation for the boundary. NaN and infinity as in `margins`.
    """
    mask = mask.to(images.device)
    with torch.no_grad():
        logits = model(images)
    right = logits.argmax(1) == labels
    others = logits.scatter(1, labels[:, None], -torch.inf).topk(min(settings.candidates, logits.shape[1] - 1)).indices
    change = torch.zeros_like(images)
    unchanged = right.clone()  # images whose class the perturbation has not changed yet
    for _ in range(settings.steps):
        rows = unchanged.nonzero()[:, 0]
        if not len(rows):
            break
        change[rows] += _step(model, images[rows] + change[rows], labels[rows], others[rows], mask)
        with torch.no_grad():
            unchanged[rows] = model(images[rows] + change[rows]).argmax(1) == labels[rows]
    low, high = torch.zeros_like(logits[:, 0]), torch.ones_like(logits[:, 0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with torch.no_grad():
            inside = model(images + middle[:, None, None, None] * change).argmax(1) == labels
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    norm = high * change.flatten(1).norm(dim=1)
    norm = torch.where(unchanged, torch.inf, norm)
    return torch.where(right, norm, torch.nan)


def _step(model: Model, points: Tensor, labels: Tensor, others: Tensor, mask: Tensor) -> Tensor:
    """The step inside the span to the nearest of the linearised boundaries: (N, C, H, W)."""
    points = points.detach().requires_grad_()
    logits = model(points)
    nearest, step = torch.full_like(logits[:, 0], torch.inf), torch.zeros_like(points)
    for other in others.unbind(1):
        lead = logits.gather(1, labels[:, None])[:, 0] - logits.gather(1, other[:, None])[:, 0]
        (gradient,) = torch.autograd.grad(-lead.sum(), points, retain_graph=True)
        projected = idct2(dct2(gradient) * mask)
        full_norm, norm = (g.flatten(1).norm(dim=1) for g in (gradient, projected))
        blind = norm <= ROUNDING * full_norm  # the class does not depend on the span
        distance = torch.where(blind, torch.inf, lead.detach().clamp_min(0) / torch.where(blind, 1.0, norm))
        length = OVERSHOOT * distance + MIN_STEP
        nearer = distance < nearest
        nearest = torch.where(nearer, distance, nearest)
        step = torch.where(nearer[:, None, None, None], projected * (length / norm)[:, None, None, None], step)
    return step.detach()


class MarginSettings(MarginSearchSettings):
    """One over the least l2 norm inside the band that changes the class."""

    method: Literal["margin"]


def margin(task: Task, settings: MarginSettings) -> Attribution:
    """One over the margin: 0 where no perturbation was found, and in all bands of a misclassified image."""
    require_dct(task, settings.method)
    chunks = zip(task.images.split(task.chunk), task.labels.split(task.chunk), strict=True)
    norms = torch.cat([margins(task.model, x, y, task.index, settings) for x, y in chunks])
    return from_bands((1 / norms).nan_to_num(0.0))
