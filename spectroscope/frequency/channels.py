"""Which part of a colour image is transformed: every channel, or the luminance."""

from typing import Literal

from torch import Tensor

Channels = Literal["each", "luminance"]
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


def luminance(images: Tensor) -> Tensor:
    """Luminance of RGB images, or the one channel there is: (..., C, H, W), C = 1 or 3 -> (..., 1, H, W)."""
    if images.shape[-3] not in (1, 3):
        raise ValueError(f"expected 1 or 3 channels for luminance, got {images.shape[-3]}")
    weights = images.new_tensor(LUMINANCE)[:, None, None]
    return (images * weights).sum(-3, keepdim=True) if images.shape[-3] == 3 else images


def seen(images: Tensor, channels: Channels) -> Tensor:
    """The channels that are transformed: (..., C, H, W) as they are, or their luminance (..., 1, H, W)."""
    if channels == "luminance":
        return luminance(images)
    if channels == "each":
        return images
    raise ValueError(f"expected channels each or luminance, got {channels!r}")
