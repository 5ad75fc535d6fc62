"""Measures of reliance by name, each computed for the same images, bands and score.

A measure gives a value for every image and band, signed unless it is a square or a rate, and not normalised; those that
give one for every coefficient are added up over the band (of a heat map or a mask: averaged).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from spectroscope.attribution import gradients
from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.heatmap import fourier_heat_map
from spectroscope.attribution.margins import margins
from spectroscope.attribution.masks import image_masks
from spectroscope.attribution.occlusion import all_but_one, coalition_logits, every_coalition, one_alone
from spectroscope.attribution.scores import score as score_of
from spectroscope.attribution.settings import Baseline, MethodSettings, Score
from spectroscope.attribution.shapley import check_exact, drawn_orders, growing, sampled_shapley, shapley
from spectroscope.frequency.channels import Channels
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline.machine import generator


@dataclass(frozen=True)
class Task:
    """One network to explain: images (N, C, H, W) and labels (N,) on its device, the band of each coefficient.

    index and waves (H, W): the same kind of bands in `basis` and in the DFT, where heat maps live. `seed` decides what
    is drawn at random. Logits of all coalitions, which several measures use, are kept in `tables`.
    """

    model: Callable[[Tensor], Tensor]
    images: Tensor
    labels: Tensor
    basis: Basis
    index: Tensor
    waves: Tensor
    score: Score
    seed: int
    chunk: int
    tables: dict[tuple[Baseline, bool], Tensor] = field(default_factory=dict)

    @property
    def bands(self) -> int:
        return int(self.index.max()) + 1

    def baseline(self, kind: Baseline) -> Tensor | None:
        """The baseline of each image, the same for all measures."""
        return baseline(kind, self.images, self.index, self.basis, generator(self.seed, 1))

    def logits(self, kind: Baseline, clip: bool, present: Tensor, channels: Channels = "each") -> Tensor:
        """Logits (N, M, K) of the images with only the bands of each coalition (M, B)."""
        options = {"basis": self.basis, "baseline": self.baseline(kind), "clip": clip, "chunk": self.chunk}
        return coalition_logits(self.model, self.images, self.index, present, **options, channels=channels)

    def table(self, kind: Baseline, clip: bool) -> Tensor:
        """Logits (N, 2^B, K) of every coalition; ValueError for more bands than that can be done for."""
        check_exact(self.bands)
        if (kind, clip) not in self.tables:
            self.tables[kind, clip] = self.logits(kind, clip, every_coalition(self.bands))
        return self.tables[kind, clip]

    def scores(self, logits: Tensor) -> Tensor:
        """Scores (N, M) of logits (N, M, K)."""
        return score_of(logits, self.labels[:, None].expand(logits.shape[:2]), self.score)


@dataclass(frozen=True)
class Measured:
    """Values by band (N, B); by coefficient (N, H, W) where the measure has them; and their error (N,).

    error: how far integrated gradients and Shapley values are from their sum, the largest standard error of sampled
    ones, 0 for all others.
    """

    values: Tensor
    coefficients: Tensor | None
    error: Tensor


def lookup(name: str) -> Callable[[Task, Any], Measured]:
    """The measure of this name; ValueError with the known names."""
    if name not in METHODS:
        raise ValueError(f"expected a method among {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]


def measure(task: Task, settings: MethodSettings) -> Measured:
    """What `settings.method` says of a network."""
    return lookup(settings.method)(task, settings)


def _occluded(task: Task, settings: Any) -> Measured:
    present = all_but_one(task.bands)
    scores = task.scores(task.logits(settings.baseline, settings.clip, present, settings.channels))
    return _bands(scores[:, :1] - scores[:, 1:])


def _kept(task: Task, settings: Any) -> Measured:
    scores = task.scores(task.logits(settings.baseline, settings.clip, one_alone(task.bands)))
    return _bands(scores[:, 1:] - scores[:, :1])


def _shapley(task: Task, settings: Any) -> Measured:
    scores = task.scores(task.table(settings.baseline, settings.clip)).double()
    values = shapley(scores)
    whole = (scores[:, -1] - scores[:, 0]).cpu()
    return _bands(values, (values.sum(1) - whole).abs())


def _sampled_shapley(task: Task, settings: Any) -> Measured:
    orders = drawn_orders(task.bands, settings.pairs, generator(task.seed, 2))
    rows, place = growing(orders).unique(dim=0, return_inverse=True)
    scores = task.scores(task.logits(settings.baseline, settings.clip, rows))
    values, error = sampled_shapley(scores[:, place.to(scores.device)], orders)
    return _bands(values, error.amax(1))


def _gradient(task: Task, settings: Any) -> Measured:
    found = gradients.input_gradients(task.model, task.images, task.labels, task.score, task.chunk)
    return _coefficients(gradients.sensitivity(found, task.basis), task.index)


def _gradient_x_coefficient(task: Task, settings: Any) -> Measured:
    found = gradients.input_gradients(task.model, task.images, task.labels, task.score, task.chunk)
    return _coefficients(gradients.products(found, task.images, task.basis), task.index)


def _integrated_gradients(task: Task, settings: Any) -> Measured:
    options = {"basis": task.basis, "baseline": task.baseline(settings.baseline), "steps": settings.steps}
    network = (task.model, task.images, task.labels, task.score)
    values, error = gradients.integrated_gradients(*network, **options, chunk=task.chunk)
    return _coefficients(values, task.index, error)


def _smooth_grad(task: Task, settings: Any) -> Measured:
    noise = {"samples": settings.samples, "sigma": settings.sigma_255 / 255, "generator": generator(task.seed, 3)}
    network = (task.model, task.images, task.labels, task.score)
    found = gradients.smoothed_gradients(*network, **noise, chunk=task.chunk)
    return _coefficients(gradients.sensitivity(found, task.basis), task.index)


def _heat_map(task: Task, settings: Any) -> Measured:
    return _map(task, {"eps": settings.eps, "norm": "l2", "value": settings.value, "clip": settings.clip})


def _fourier_attack(task: Task, settings: Any) -> Measured:
    return _map(task, {"eps": settings.eps_255 / 255, "norm": "linf", "value": "changed", "clip": settings.clip})


def _map(task: Task, options: dict[str, Any]) -> Measured:
    drawn = {"generator": generator(task.seed, 4), "chunk": task.chunk}
    values = fourier_heat_map(task.model, task.images, task.labels, **options, **drawn)
    return _averaged(values, task.waves)


def _learned_mask(task: Task, settings: Any) -> Measured:
    _only_dct(task, settings.method)
    masks = [
        image_masks(task.model, x, y, settings)
        for x, y in zip(task.images.split(task.chunk), task.labels.split(task.chunk), strict=True)
    ]
    return _averaged(torch.cat(masks), task.index)


def _margin(task: Task, settings: Any) -> Measured:
    """One over the margin: 0 where no perturbation was found, and in all bands of an image that was wrong before."""
    _only_dct(task, settings.method)
    found = [
        margins(task.model, x, y, task.index, settings)
        for x, y in zip(task.images.split(task.chunk), task.labels.split(task.chunk), strict=True)
    ]
    return _bands((1 / torch.cat(found)).nan_to_num(0.0))


def _only_dct(task: Task, method: str) -> None:
    if task.basis != "dct":
        raise ValueError(f"attribution.basis: expected dct for the method {method}, got {task.basis}")


def _averaged(values: Tensor, index: Tensor) -> Measured:
    size = torch.bincount(index.flatten()).to(values.device)
    return Measured(by_band(values, index) / size, values, torch.zeros(len(values)))


def _bands(values: Tensor, error: Tensor | None = None) -> Measured:
    return Measured(values, None, torch.zeros(len(values)) if error is None else error)


def _coefficients(values: Tensor, index: Tensor, error: Tensor | None = None) -> Measured:
    return Measured(by_band(values, index), values, torch.zeros(len(values)) if error is None else error)


METHODS: dict[str, Callable[[Task, Any], Measured]] = {
    "occluded": _occluded,
    "kept": _kept,
    "shapley": _shapley,
    "sampled_shapley": _sampled_shapley,
    "gradient": _gradient,
    "gradient_x_coefficient": _gradient_x_coefficient,
    "integrated_gradients": _integrated_gradients,
    "smooth_grad": _smooth_grad,
    "heat_map": _heat_map,
    "fourier_attack": _fourier_attack,
    "learned_mask": _learned_mask,
    "margin": _margin,
}
