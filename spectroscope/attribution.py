"""Which frequencies a network's predictions rest on.

Occluded Frequency (Wang et al. 2020, Def. 1, Eqs. 6-7): the drop of a class score when the coefficients of one band
are replaced by a baseline. Signed, not normalised.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from spectroscope.params import Settings
from spectroscope.progress import track
from spectroscope.spectrum import Basis, Shape, dct2, idct2

Baseline = Literal["zero", "mean"]
Score = Literal["logit", "margin", "log_probability"]


class AttributionSettings(Settings):
    """Occluded Frequency and its summaries.

    Paper mode: basis dct, shape linf, baseline zero, score logit, clip false, images all, hf_from 0.5. The class of
    interest is the label.
    """

    n_images: Annotated[int, Field(ge=1)]
    images: Literal["all", "correct"]
    basis: Basis
    shape: Shape
    baseline: Baseline
    score: Score
    clip: bool
    hf_from: Annotated[float, Field(gt=0, lt=1)]


@torch.no_grad()
def occluded_frequency(
    model: Callable[[Tensor], Tensor],
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
    baseline: an image (C, H, W) whose coefficients replace the removed ones, None for zeros (the paper). score: `logit`
    (the paper), `margin` (logit minus the best other), `log_probability`. clip: to [0, 1] after the replacement.
    `chunk` images go through the model at once. ValueError for shapes, labels or a model that do not fit.
    """
    _check(images, labels, index, basis, baseline)
    device = images.device
    bands = int(index.max()) + 1
    masks = [(index == band).to(device) for band in range(bands)]
    scores = images.new_empty(len(images), bands)
    step = max(1, chunk)
    for start in track(range(0, len(images), step), "occluded frequency"):
        x, y = images[start : start + step], labels[start : start + step].to(device)
        change = x if baseline is None else x - baseline.to(x)
        spectrum = _analyse(change, basis)
        whole = _score(model(x), y, score)
        for band, mask in enumerate(masks):
            occluded = x - _synthesise(spectrum * mask, basis)
            occluded = occluded.clamp(0, 1) if clip else occluded
            scores[start : start + step, band] = whole - _score(model(occluded), y, score)
    return scores


def class_mean(curves: np.ndarray) -> np.ndarray:
    """Mean over the classes that have images: (..., classes, bands) -> (..., bands)."""
    there = np.isfinite(curves)
    return _ratio(np.where(there, curves, 0.0).sum(-2), there.sum(-2))


def centroid(curves: np.ndarray) -> np.ndarray:
    """Centre of mass of the positive part of the mean curve without DC, in the paper's 1-based k (DC is k = 1).

    curves (..., classes, bands): class means; classes without images are rows of NaN and left out. Mean over classes
    first, positive part second, as in the summary of Wang et al.'s Fig. 1. NaN where nothing is positive: (...).
    """
    positive = class_mean(curves)[..., 1:].clip(min=0)
    k = np.arange(2, curves.shape[-1] + 1)
    return _ratio((k * positive).sum(-1), positive.sum(-1))


def hf_share(curves: np.ndarray, hf_from: float) -> np.ndarray:
    """High-frequency share of the positive part without DC: of each class, then the mean over classes.

    curves (..., classes, bands). High: the shells from `hf_from` times the number of shells (32 shells and 0.5: the
    paper's k >= 17). Classes with no share (`missing_shares`) are left out of the mean; NaN where none has one: (...).
    """
    return class_mean(_shares(curves, hf_from)[..., None])[..., 0]


def missing_shares(curves: np.ndarray, hf_from: float) -> np.ndarray:
    """Number of classes that have no share, because they have no images or nothing positive outside DC: (...)."""
    return np.isnan(_shares(curves, hf_from)).sum(-1)


def sums(curves: np.ndarray, hf_from: float) -> dict[str, np.ndarray]:
    """The mean curve added up over DC, low, middle and high shells: four arrays (...), signs kept.

    High as in `hf_share`; low is below half of that (32 shells and 0.5: the paper's k = 2..8, 9..16 and 17 up).
    """
    mean = class_mean(curves)
    middle, high = _first_shell(hf_from / 2, mean.shape[-1]), _first_shell(hf_from, mean.shape[-1])
    edges = {"dc": (0, 1), "low_sum": (1, middle), "mid_sum": (middle, high), "high_sum": (high, mean.shape[-1])}
    return {name: mean[..., first:last].sum(-1) for name, (first, last) in edges.items()}


def _shares(curves: np.ndarray, hf_from: float) -> np.ndarray:
    positive = curves[..., 1:].clip(min=0)
    return _ratio(positive[..., _first_shell(hf_from, curves.shape[-1]) - 1 :].sum(-1), positive.sum(-1))


def _first_shell(fraction: float, shells: int) -> int:
    """First shell at or above a fraction of their number; .28 of 25 is 7, although the product is 7.000000000000001."""
    return math.ceil(round(fraction * shells, 9))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, NaN where the denominator is zero."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def table(attribution: Tensor, labels: Tensor, right: Tensor, seed: int) -> pd.DataFrame:
    """One row for each image: seed, image, label, whether the prediction was right, and a column for each band."""
    columns = pd.DataFrame(attribution.cpu().numpy(), columns=[f"shell_{k}" for k in range(attribution.shape[1])])
    front = {"seed": seed, "image": np.arange(len(labels)), "label": labels.cpu().numpy(), "right": right.cpu().numpy()}
    return pd.concat([pd.DataFrame(front), columns], axis=1)


def _check(images: Tensor, labels: Tensor, index: Tensor, basis: Basis, baseline: Tensor | None) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"expected float images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"expected one label for each of {len(images)} images, got shape {tuple(labels.shape)}")
    if index.shape != images.shape[-2:]:
        raise ValueError(f"expected an index of shape {tuple(images.shape[-2:])}, got {tuple(index.shape)}")
    if int(index.min()) < 0:
        raise ValueError(f"expected bands numbered from 0, got {int(index.min())}")
    if basis == "dft" and not index.equal(index.flip(0, 1).roll((1, 1), (0, 1))):
        raise ValueError("expected a coefficient and its mirror in one band in the dft basis, got them in two")
    if baseline is not None and baseline.shape != images.shape[1:]:
        raise ValueError(f"expected a baseline of shape {tuple(images.shape[1:])}, got {tuple(baseline.shape)}")


def _analyse(x: Tensor, basis: Basis) -> Tensor:
    return dct2(x) if basis == "dct" else torch.fft.fft2(x, norm="ortho")


def _synthesise(spectrum: Tensor, basis: Basis) -> Tensor:
    return idct2(spectrum) if basis == "dct" else torch.fft.ifft2(spectrum, norm="ortho").real


def _score(logits: Tensor, labels: Tensor, score: Score) -> Tensor:
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"expected logits ({len(labels)}, K), got {tuple(logits.shape)}")
    if int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]:
        raise ValueError(f"expected labels 0..{logits.shape[1] - 1}, got {int(labels.min())}..{int(labels.max())}")
    if not logits.isfinite().all():
        raise ValueError("expected finite logits, got NaN or infinity from the model")
    at = labels[:, None]
    if score == "logit":
        return logits.gather(1, at)[:, 0]
    if score == "log_probability":
        return logits.log_softmax(1).gather(1, at)[:, 0]
    if score == "margin":
        if logits.shape[1] < 2:
            raise ValueError(f"expected at least two classes for a margin, got {logits.shape[1]}")
        return logits.gather(1, at)[:, 0] - logits.scatter(1, at, -torch.inf).amax(1)
    raise ValueError(f"expected score logit, margin or log_probability, got {score!r}")
