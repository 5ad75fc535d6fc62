"""The number an attribution explains: one score of the class of interest, from the logits of a model."""

import warnings

import torch
from torch import Tensor

from spectroscope.attribution.settings import Score


def score(logits: Tensor, labels: Tensor, kind: Score) -> Tensor:
    """Score of each image's class: logits (..., K) and labels (...) -> (...).

    `logit` (Wang et al. 2020, Def. 1), `margin` (logit minus the best other), `log_probability`, `softmax` (the
    probability). ValueError for labels out of range, a margin of one class, or an unknown kind.
    """
    classes = logits.shape[-1]
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"expected labels 0..{classes - 1}, got {int(labels.min())}..{int(labels.max())}")
    at = labels[..., None]
    if kind == "logit":
        return logits.gather(-1, at)[..., 0]
    if kind == "log_probability":
        return logits.log_softmax(-1).gather(-1, at)[..., 0]
    if kind == "softmax":
        return logits.softmax(-1).gather(-1, at)[..., 0]
    if kind == "margin":
        if classes < 2:
            raise ValueError(f"expected at least two classes for a margin, got {classes}")
        return logits.gather(-1, at)[..., 0] - logits.scatter(-1, at, -torch.inf).amax(-1)
    raise ValueError(f"expected score logit, margin, log_probability or softmax, got {kind!r}")


def checked(logits: Tensor, images: int) -> Tensor:
    """The logits (images, K) of a model; ValueError for another shape, NaN or infinity.

    A model that already returns probabilities is warned of: a margin or a logit of its outputs means something else.
    """
    if logits.ndim != 2 or len(logits) != images:
        raise ValueError(f"expected logits ({images}, K), got {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError("expected finite logits, got NaN or infinity from the model")
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-4).all()):
        warnings.warn("expected logits, got probabilities: take the model's last softmax off", stacklevel=3)
    return logits


def check_images(images: Tensor, labels: Tensor, index: Tensor) -> None:
    """ValueError unless images are floats (N, C, H, W) with one label each and every coefficient has its band."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"expected float images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"expected one label for each of {len(images)} images, got shape {tuple(labels.shape)}")
    if index.shape != images.shape[-2:]:
        raise ValueError(f"expected an index of shape {tuple(images.shape[-2:])}, got {tuple(index.shape)}")
    if int(index.min()) < 0:
        raise ValueError(f"expected bands numbered from 0, got {int(index.min())}")


def check_mirror(index: Tensor) -> None:
    """ValueError unless a coefficient of the DFT and its mirror are in one band: else images would be complex."""
    if not index.equal(index.flip(0, 1).roll((1, 1), (0, 1))):
        raise ValueError("expected a coefficient and its mirror in one band in the dft basis, got them in two")
