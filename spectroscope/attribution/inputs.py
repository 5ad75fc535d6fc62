"""Checks of the inputs of an attribution, and of the logits that a model returns."""

import warnings
from collections.abc import Callable

from torch import Tensor

from spectroscope.frequency.spectrum import Basis, mirrored

Model = Callable[[Tensor], Tensor]  # pixels (N, C, H, W) in [0, 1] -> logits (N, K)


def check_images(images: Tensor, labels: Tensor | None = None) -> None:
    """ValueError unless images are floats (N, C, H, W) with one label each."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"expected float images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(f"expected one label for each of {len(images)} images, got shape {tuple(labels.shape)}")


def check_bands(index: Tensor, baseline: Tensor | None, images: Tensor, basis: Basis) -> None:
    """ValueError unless index (H, W) gives every coefficient a band and the baseline has the images' shape.

    In the DFT a coefficient and its mirror must share a band: else the image of a band would be complex.
    """
    if index.shape != images.shape[-2:]:
        raise ValueError(f"expected an index of shape {tuple(images.shape[-2:])}, got {tuple(index.shape)}")
    if int(index.min()) < 0:
        raise ValueError(f"expected bands numbered from 0, got {int(index.min())}")
    if basis == "dft" and not index.equal(mirrored(index)):
        raise ValueError("expected a coefficient and its mirror in one band in the dft basis, got them in two")
    if baseline is not None and baseline.shape not in (images.shape[1:], images.shape):
        raise ValueError(f"expected a baseline of shape {tuple(images.shape[1:])}, got {tuple(baseline.shape)}")


def checked_logits(model: Model, images: Tensor) -> Tensor:
    """Logits (N, K) of the images; ValueError for another shape, NaN or infinity.

    Warns when the model returns probabilities: their margin or "logit" would mean something else.
    """
    logits = model(images)
    if logits.ndim != 2 or len(logits) != len(images):
        raise ValueError(f"expected logits ({len(images)}, K), got {tuple(logits.shape)}")
    if not logits.isfinite().all():
        raise ValueError("expected finite logits, got NaN or infinity from the model")
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-4).all()):
        warnings.warn("expected logits, got probabilities: take the model's last softmax off", stacklevel=3)
    return logits
