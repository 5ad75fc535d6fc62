"""Which frequencies a network's predictions rest on: take bands out, or leave nothing but some of them.

Occluded Frequency (Wang et al. 2020, Def. 1, Eqs. 6-7) is the drop of a class score when the coefficients of one band
are replaced by a baseline. Signed, not normalised. Everything else here follows from the logits of an image of which
some bands are present and the others are the baseline's.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attribution.scores import check_images, check_mirror, checked
from spectroscope.attribution.scores import score as score_of
from spectroscope.attribution.settings import Score
from spectroscope.frequency.channels import Channels, seen
from spectroscope.frequency.spectrum import Basis, analyse, synthesise
from spectroscope.pipeline.progress import track

Model = Callable[[Tensor], Tensor]
_TOGETHER = 16  # images with bands taken out that are put together at once, of each image


@torch.no_grad()
def occluded_frequency(
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
    coefficient (`spectrum.shells`, laid out for `basis`), applied to all channels at once (Wang et al., Fig. 4).
    baseline: images (N, C, H, W), or one (C, H, W), whose coefficients replace the removed ones; None for zeros (the
    paper). score: `logit` (the paper) or another of `scores.score`. clip: to [0, 1] after the replacement.
    `chunk` images go through the model at once. ValueError for shapes, labels or a model that do not fit.
    """
    _check(images, labels, index, basis, baseline)
    device = images.device
    bands = int(index.max()) + 1
    masks = [(index == band).to(device) for band in range(bands)]
    scores = images.new_empty(len(images), bands)
    step = max(1, chunk)
    for start in track(range(0, len(images), step), "occluded frequency"):
        rows = slice(start, start + step)
        x, y = images[rows], labels[rows].to(device)
        spectrum = analyse(_change(x, baseline, rows), basis)
        whole = score_of(checked(model(x), len(x)), y, score)
        for band, mask in enumerate(masks):
            occluded = x - synthesise(spectrum * mask, basis)
            occluded = occluded.clamp(0, 1) if clip else occluded
            scores[rows, band] = whole - score_of(checked(model(occluded), len(x)), y, score)
    return scores


@torch.no_grad()
def coalition_logits(
    model: Model,
    images: Tensor,
    index: Tensor,
    present: Tensor,
    *,
    basis: Basis,
    baseline: Tensor | None,
    clip: bool,
    chunk: int,
    channels: Channels = "each",
) -> Tensor:
    """Logits of each image with only some of its bands: (N, M, K).

    present (M, bands) booleans, the bands that are the image's own; the others are the baseline's (as in
    `occluded_frequency`). All images see the same M coalitions. channels `luminance`: what comes and goes is the band's
    luminance, added to or taken from every channel alike; chrominance stays.
    """
    labels = torch.zeros(len(images), dtype=torch.int64)
    _check(images, labels, index, basis, baseline)
    bands, device = int(index.max()) + 1, images.device
    if present.ndim != 2 or present.shape[1] != bands:
        raise ValueError(f"expected coalitions (M, {bands}), got {tuple(present.shape)}")
    rows = present.to(device, images.dtype)
    masks = torch.stack([index == band for band in range(bands)])[:, None, None].to(device)  # (B, 1, 1, H, W)
    found = []
    for start in track(range(0, len(images), max(1, chunk)), "coalitions of bands"):
        part = slice(start, start + max(1, chunk))
        x = images[part]
        change = seen(_change(x, baseline, part), channels).expand_as(x)
        parts = synthesise(analyse(change, basis) * masks, basis).flatten(1)  # (B, n * C * H * W)
        logits = []
        for some in rows.split(_TOGETHER):
            mixed = (some @ parts).view(len(some), *x.shape) + (x - change)
            for each in mixed.clamp(0, 1) if clip else mixed:
                logits.append(checked(model(each), len(x)))
        found.append(torch.stack(logits, 1))  # (n, M, K)
    return torch.cat(found)


def every_coalition(bands: int) -> Tensor:
    """All subsets of the bands: (2^bands, bands) booleans; band k is in row r where bit k of r is set."""
    return (torch.arange(2**bands)[:, None] >> torch.arange(bands)) & 1 == 1


def all_but_one(bands: int) -> Tensor:
    """Everything, then everything without each band: (1 + bands, bands) booleans."""
    return torch.cat([torch.ones(1, bands, dtype=torch.bool), ~torch.eye(bands, dtype=torch.bool)])


def one_alone(bands: int) -> Tensor:
    """Nothing, then each band alone: (1 + bands, bands) booleans."""
    return ~all_but_one(bands)


def low_pass(bands: int) -> Tensor:
    """The lowest 0, 1, ..., all bands: (bands + 1, bands) booleans. Its complement is the high-pass curve."""
    return torch.arange(bands) < torch.arange(bands + 1)[:, None]


def table(attribution: Tensor, labels: Tensor, right: Tensor, seed: int) -> pd.DataFrame:
    """One row for each image: seed, image, label, whether the prediction was right, and a column for each band."""
    columns = pd.DataFrame(attribution.cpu().numpy(), columns=[f"shell_{k}" for k in range(attribution.shape[1])])
    front = {"seed": seed, "image": np.arange(len(labels)), "label": labels.cpu().numpy(), "right": right.cpu().numpy()}
    return pd.concat([pd.DataFrame(front), columns], axis=1)


def _change(x: Tensor, baseline: Tensor | None, rows: slice) -> Tensor:
    """What is the image's own: x less the baseline."""
    if baseline is None:
        return x
    return x - (baseline[rows] if baseline.ndim == 4 else baseline).to(x)


def _check(images: Tensor, labels: Tensor, index: Tensor, basis: Basis, baseline: Tensor | None) -> None:
    check_images(images, labels, index)
    if basis == "dft":
        check_mirror(index)
    if baseline is not None and baseline.shape not in (images.shape[1:], images.shape):
        raise ValueError(f"expected a baseline of shape {tuple(images.shape[1:])}, got {tuple(baseline.shape)}")
