"""Gradients with respect to the coefficients of a spectrum: squared, times the coefficient, smoothed or integrated.

The transforms are orthonormal, so the gradient with respect to the coefficients is the spectrum of the input gradient
(Krishnamachari et al. 2023). A value belongs to one coefficient (u, v) and is summed over channels.
"""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.attribution.baselines import Baseline
from spectroscope.attribution.inputs import Model
from spectroscope.attribution.scores import Score, image_scores
from spectroscope.attribution.task import Attribution, Task, summed_by_band
from spectroscope.frequency.spectrum import Basis, analyse
from spectroscope.pipeline.params import Settings
from spectroscope.pipeline.progress import track


@torch.enable_grad()
def input_gradients(model: Model, images: Tensor, labels: Tensor, score: Score, chunk: int) -> Tensor:
    """Gradient of each image's score with respect to its pixels: (N, C, H, W) -> (N, C, H, W)."""
    gradients = []
    for x, y in zip(images.split(max(1, chunk)), labels.split(max(1, chunk)), strict=True):
        x = x.detach().requires_grad_(True)
        total = image_scores(model, x, y, score).sum()
        gradients.append(torch.autograd.grad(total, x)[0].detach())
    return torch.cat(gradients)


def sensitivity(gradients: Tensor, basis: Basis) -> Tensor:
    """Squared gradient with respect to each coefficient: pixel gradients (N, C, H, W) -> (N, H, W).

    Summed over a band and divided by the sum over all it is the spectral sensitivity of Krishnamachari et al. 2023.
    """
    return analyse(gradients, basis).abs().square().sum(1)


def times_coefficient(gradients: Tensor, change: Tensor, basis: Basis) -> Tensor:
    """Gradient times change of each coefficient: pixel gradients and changes (N, C, H, W) -> (N, H, W).

    Sums to the inner product of both. In the DFT: the real part of conj(change) times gradient, which is the same for a
    coefficient and its mirror.
    """
    return (analyse(change, basis).conj() * analyse(gradients, basis)).real.sum(1)


class GradientSettings(Settings):
    """Squared gradient with respect to the coefficients (spectral sensitivity)."""

    method: Literal["gradient"]


def gradient(task: Task, settings: GradientSettings) -> Attribution:
    gradients = input_gradients(task.model, task.images, task.labels, task.score, task.chunk)
    return summed_by_band(sensitivity(gradients, task.basis), task.index)


class GradientTimesCoefficientSettings(Settings):
    """Gradient times coefficient."""

    method: Literal["gradient_x_coefficient"]


def gradient_x_coefficient(task: Task, settings: GradientTimesCoefficientSettings) -> Attribution:
    gradients = input_gradients(task.model, task.images, task.labels, task.score, task.chunk)
    return summed_by_band(times_coefficient(gradients, task.images, task.basis), task.index)


class SmoothGradSettings(Settings):
    """Squared mean gradient over noisy copies (Smilkov et al. 2017); sigma_255: standard deviation of the noise."""

    method: Literal["smooth_grad"]
    samples: Annotated[int, Field(ge=1)]
    sigma_255: Annotated[float, Field(gt=0)]


def smooth_grad(task: Task, settings: SmoothGradSettings) -> Attribution:
    generator, sigma = task.generator("smooth_grad"), settings.sigma_255 / 255
    total = torch.zeros_like(task.images)
    for _ in track(range(settings.samples), "smoothed gradients"):
        noise = sigma * torch.randn(task.images.shape, generator=generator).to(task.images)
        total += input_gradients(task.model, task.images + noise, task.labels, task.score, task.chunk)
    return summed_by_band(sensitivity(total / settings.samples, task.basis), task.index)


def integrated_gradients(  # eight arguments: a public function, called like `occluded_frequency`
    model: Model,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int,
    basis: Basis = "dct",
    baseline: Tensor | None = None,
    score: Score = "logit",
    chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """Integrated gradients of each coefficient (Sundararajan et al. 2017, Eq. 1), and their completeness gap.

    images (N, C, H, W), labels (N,) -> values (N, H, W) and gap (N,), |sum of the values - (score of the image - score
    of the baseline)|, which falls with the number of `steps` (midpoint rule on the straight line from the baseline).
    The other arguments are those of `occluded_frequency`.

    >>> model = lambda x: x.mean((2, 3)).square()  # one logit for each of three channels
    >>> images, labels = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
    >>> values, gap = integrated_gradients(model, images, labels, steps=4)
    >>> values.shape, values.flatten(1).argmax(1), bool(gap.max() < 1e-4)  # the mean is in the first coefficient
    (torch.Size([2, 8, 8]), tensor([0, 0]), True)
    """
    start = torch.zeros_like(images) if baseline is None else baseline.to(images).expand_as(images)
    change, mean = images - start, torch.zeros_like(images)
    for step in track(range(steps), "integrated gradients"):
        mean += input_gradients(model, start + (step + 0.5) / steps * change, labels, score, chunk) / steps
    values = times_coefficient(mean, change, basis)
    ends = [_scores(model, x, labels, score, chunk) for x in (images, start)]
    return values, (values.sum((1, 2)) - (ends[0] - ends[1])).abs()


@torch.no_grad()
def _scores(model: Model, images: Tensor, labels: Tensor, score: Score, chunk: int) -> Tensor:
    """Score of each image: (N,)."""
    chunks = zip(images.split(max(1, chunk)), labels.split(max(1, chunk)), strict=True)
    return torch.cat([image_scores(model, x, y, score) for x, y in chunks])


class IntegratedGradientsSettings(Settings):
    """Integrated gradients in the spectrum by the midpoint rule; their error is the completeness gap.

    `steps`: of every image, doubled for those whose gap is above `tolerance` (a fraction of |score of the image - score
    of the baseline|), as long as there are no more than `most_steps`.
    """

    method: Literal["integrated_gradients"]
    baseline: Baseline
    steps: Annotated[int, Field(ge=1)]
    tolerance: Annotated[float, Field(gt=0)]
    most_steps: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _room(self) -> "IntegratedGradientsSettings":
        if self.most_steps < self.steps:
            raise ValueError(f"expected most_steps >= steps, got {self.most_steps} and {self.steps}")
        return self


def integrated(task: Task, settings: IntegratedGradientsSettings) -> Attribution:
    """Integrated gradients, with more steps for images that need them; `beyond`: images that need still more."""
    images, labels, baseline = task.images, task.labels, task.baseline(settings.baseline)
    start = torch.zeros_like(images) if baseline is None else baseline.to(images).expand_as(images)
    ends = [_scores(task.model, x, labels, task.score, task.chunk) for x in (images, start)]
    allowed = settings.tolerance * (ends[0] - ends[1]).abs()
    values = images.new_zeros(len(images), *images.shape[-2:])
    gap = torch.full_like(allowed, torch.inf)
    rows, steps = torch.arange(len(images), device=images.device), settings.steps
    while len(rows) and steps <= settings.most_steps:
        values[rows], gap[rows] = integrated_gradients(
            task.model,
            images[rows],
            labels[rows],
            steps=steps,
            basis=task.basis,
            baseline=start[rows],
            score=task.score,
            chunk=task.chunk,
        )
        rows, steps = (gap > allowed).nonzero()[:, 0], 2 * steps
    return replace(summed_by_band(values, task.index, gap), beyond=(gap > allowed).to(gap))
