"""Occluded Frequency: how much the score drops when one band of an image's frequencies is removed; kept frequency.

Wang et al. 2020, Def. 1, Eqs. 6-7: the coefficients of the band are replaced by a baseline. Signed, not normalised.
Kept frequency is the counterpart: how much the score rises above that of the baseline with one band alone.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from spectroscope.attribution.baselines import Baseline, baseline_rows, minus_baseline
from spectroscope.attribution.coalitions import all_but_one, one_alone
from spectroscope.attribution.inputs import Model, check_bands, check_images, checked_logits
from spectroscope.attribution.scores import Score, class_score
from spectroscope.attribution.task import Attribution, Task, from_bands
from spectroscope.frequency.channels import Channels
from spectroscope.frequency.spectrum import Basis, analyse, synthesise
from spectroscope.pipeline.params import Settings
from spectroscope.pipeline.progress import track


def occluded_frequency(  # nine arguments: a public function; each option but `chunk` changes the result
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
    """OF_k(x) = f_c(x) - f_c(x with band k replaced): (N, number of bands), in the dtype of the images.

    images (N, C, H, W) floats; labels (N,) integers, the class c of interest; index (H, W) integers, the band of each
    coefficient (`spectrum.shells`, laid out for `basis`), applied to all channels at once (Wang et al. 2020, Fig. 4).
    baseline: one image (C, H, W), or one for each (N, C, H, W), whose coefficients replace the removed ones; None for
    zeros (the paper). score: `logit` (the paper) or another of `scores.class_score`. clip: to [0, 1] after the
    replacement. chunk: images in one forward pass. ValueError for shapes, labels or logits that do not fit.

    >>> from spectroscope.frequency.spectrum import dct2, shells
    >>> model = lambda x: dct2(x)[:, 0, :2, 3]  # two logits, read from the coefficients (0, 3) and (1, 3): shell 3
    >>> images = torch.rand(2, 3, 8, 8)
    >>> attribution = occluded_frequency(model, images, torch.tensor([0, 1]), shells(8, 8))
    >>> attribution.shape, attribution.abs().argmax(1)
    (torch.Size([2, 8]), tensor([3, 3]))
    """
    return drops_by_score(model, images, labels, index, [score], basis, baseline, clip, chunk)[:, 0]


@torch.no_grad()
def drops_by_score(  # nine arguments: those of `occluded_frequency`
    model: Model,
    images: Tensor,
    labels: Tensor,
    index: Tensor,
    scores: Sequence[Score],
    basis: Basis,
    baseline: Tensor | None,
    clip: bool,
    chunk: int,
) -> Tensor:
    """Occluded Frequency by several scores from the same forward passes: (N, scores, bands).

    Arguments and errors as of `occluded_frequency`.
    """
    check_images(images, labels)
    check_bands(index, baseline, images, basis)
    masks = [(index == band).to(images.device) for band in range(int(index.max()) + 1)]
    drops = images.new_empty(len(images), len(scores), len(masks))
    step = max(1, chunk)
    for start in track(range(0, len(images), step), "occluded frequency"):
        rows = slice(start, start + step)
        x, y = images[rows], labels[rows].to(images.device)
        spectrum = analyse(minus_baseline(x, baseline_rows(baseline, rows)), basis)
        clean = checked_logits(model, x)
        before = [class_score(clean, y, score) for score in scores]
        for band, mask in enumerate(masks):
            occluded = x - synthesise(spectrum * mask, basis)
            logits = checked_logits(model, occluded.clamp(0, 1) if clip else occluded)
            for place, score in enumerate(scores):
                drops[rows, place, band] = before[place] - class_score(logits, y, score)
    return drops


class OccludedSettings(Settings):
    """Occluded Frequency: the drop of the score without the band, in every channel or in luminance alone."""

    method: Literal["occluded"]
    baseline: Baseline
    channels: Channels
    clip: bool


def occluded(task: Task, settings: OccludedSettings) -> Attribution:
    present = all_but_one(task.n_bands)
    scores = task.scores(task.logits(present, settings.baseline, settings.clip, settings.channels))
    return from_bands(scores[:, :1] - scores[:, 1:])


class KeptSettings(Settings):
    """Kept frequency: the rise of the score, from the baseline, with this band alone."""

    method: Literal["kept"]
    baseline: Baseline
    clip: bool


def kept(task: Task, settings: KeptSettings) -> Attribution:
    scores = task.scores(task.logits(one_alone(task.n_bands), settings.baseline, settings.clip))
    return from_bands(scores[:, 1:] - scores[:, :1])
