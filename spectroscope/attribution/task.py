"""The task that every attribution method is given, and the attribution that it returns."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from spectroscope.attribution.baselines import Baseline, baseline
from spectroscope.attribution.coalitions import coalition_logits, every_coalition
from spectroscope.attribution.inputs import Model
from spectroscope.attribution.scores import Score, coalition_scores
from spectroscope.frequency.channels import Channels
from spectroscope.frequency.partitions import by_band, mean_by_band
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline import machine

# Random streams of one network; the place of a name, from 1, is part of the seed: add names at the end.
STREAMS = (
    *("baseline", "orders", "smooth_grad", "heat_map", "random_coefficients", "random_bands", "shuffled_weights"),
    "other_draws",
)


@dataclass(frozen=True)
class Task:
    """One network to explain: images (N, C, H, W) and labels (N,) on its device, and the band of each coefficient.

    index (H, W): the bands in `basis`. dft_index (H, W): the same kind of bands in the DFT, where heat maps live.
    score: what is explained. seed: where the random streams start. chunk: images in one forward pass. cache: logits of
    all coalitions, which several methods use; a task made by `dataclasses.replace` starts with an empty one.
    """

    model: Model
    images: Tensor
    labels: Tensor
    basis: Basis
    index: Tensor
    dft_index: Tensor
    score: Score
    seed: int
    chunk: int
    cache: dict[tuple[Baseline, bool], Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_bands(self) -> int:
        return int(self.index.max()) + 1

    def in_chunks(self, size: int) -> "Task":
        """The same task with chunks of this size."""
        return self if size == self.chunk else replace(self, chunk=size)

    def generator(self, stream: str) -> torch.Generator:
        """A generator at the start of one of the STREAMS."""
        return machine.generator(self.seed, 1 + STREAMS.index(stream))

    def baseline(self, kind: Baseline) -> Tensor | None:
        """Baseline of each image, the same for all methods."""
        return baseline(kind, self.images, self.index, self.basis, self.generator("baseline"))

    def logits(self, present: Tensor, kind: Baseline, clip: bool, channels: Channels = "each") -> Tensor:
        """Logits (N, M, K) of the images with only the bands of each coalition (M, B)."""
        images, baseline = (self.model, self.images, self.index), self.baseline(kind)
        return coalition_logits(
            *images, present, basis=self.basis, baseline=baseline, clip=clip, chunk=self.chunk, channels=channels
        )

    def every_logits(self, kind: Baseline, clip: bool) -> Tensor:
        """Logits (N, 2^B, K) of every coalition, in the order of `every_coalition`; ValueError for too many bands."""
        if (kind, clip) not in self.cache:
            self.cache[kind, clip] = self.logits(every_coalition(self.n_bands), kind, clip)
        return self.cache[kind, clip]

    def clean_logits(self) -> Tensor:
        """Logits (N, K) of the images with all their bands."""
        return self.logits(torch.ones(1, self.n_bands, dtype=torch.bool), "zero", False)[:, 0]

    def scores(self, logits: Tensor) -> Tensor:
        """Scores (N, M) of logits (N, M, K)."""
        return coalition_scores(logits, self.labels, self.score)


@dataclass(frozen=True)
class Attribution:
    """Values of the bands (N, B), of the coefficients (N, H, W) or None, and the error (N,) of one method.

    Values are signed, unless the method gives squares or rates, and not normalised. error of integrated_gradients and
    shapley: the completeness gap, |sum of the values - (score of the image - score of the baseline)|; of
    sampled_shapley: the largest standard error among the bands; of every other method: 0. beyond (N,): 1 where the
    error is larger than the method's tolerance, 0 where it is not; None for a method without one.
    """

    values: Tensor
    coefficients: Tensor | None
    error: Tensor
    beyond: Tensor | None = None


def from_bands(values: Tensor, error: Tensor | None = None) -> Attribution:
    """The attribution of a method that gives values by band (N, B)."""
    return Attribution(values, None, torch.zeros(len(values)) if error is None else error)


def summed_by_band(coefficients: Tensor, index: Tensor, error: Tensor | None = None) -> Attribution:
    """The attribution of a method whose coefficients (N, H, W) add up to the value of a band."""
    error = torch.zeros(len(coefficients)) if error is None else error
    return Attribution(by_band(coefficients, index), coefficients, error)


def averaged_by_band(coefficients: Tensor, index: Tensor) -> Attribution:
    """The attribution of a method that gives each coefficient (N, H, W) a level: the band has their mean."""
    return Attribution(mean_by_band(coefficients, index), coefficients, torch.zeros(len(coefficients)))


def require_dct(task: Task, method: str) -> None:
    """ValueError for a method that is defined in the DCT when the study's basis is another."""
    if task.basis != "dct":
        raise ValueError(f"attribution.basis: expected dct for the method {method}, got {task.basis}")
