"""Channels that are transformed: all channels of an image, or its luminance."""

from typing import Literal

from torch import Tensor

Channels = Literal["each", "luminance"]
LUMINANCE = (0.299, 0.587, 0.114)  # weights of R, G, B: ITU-R BT.601


def luminance(images: Tensor) -> Tensor:
    """Luminance of RGB or grey images: (..., C, H, W), C = 3 or 1, -> (..., 1, H, W); ValueError for another C."""
    if images.shape[-3] not in (1, 3):
        raise ValueError(f"expected 1 or 3 channels for luminance, got {images.shape[-3]}")
    weights = images.new_tensor(LUMINANCE)[:, None, None]
    return (images * weights).sum(-3, keepdim=True) if images.shape[-3] == 3 else images


def seen(images: Tensor, channels: Channels) -> Tensor:
    """Channels to transform: (..., C, H, W) unchanged (`each`), or the luminance (..., 1, H, W)."""
    if channels == "luminance":
        return luminance(images)
    if channels == "each":
        return images
    raise ValueError(f"expected channels each or luminance, got {channels!r}")
