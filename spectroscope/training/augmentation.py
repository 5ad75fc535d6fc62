"""Random flips and shifts of a batch of training images."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from spectroscope.pipeline.params import Settings


class Augmentation(Settings):
    """`flip`: mirror half of the images. `crop`: shift by up to this many pixels.

    `padding`: what moves in from beyond the edge, the image mirrored at its outermost pixels (`reflect`) or `zero`, as
    usual on CIFAR. The step from the image to zeros has energy at all frequencies, which no filter takes out again.
    """

    flip: bool
    crop: Annotated[int, Field(ge=0)]
    padding: Literal["reflect", "zero"]


MODES = {"reflect": "reflect", "zero": "constant"}  # torch's names


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Mirror and shift every image independently: (N, C, H, W) -> (N, C, H, W).

    ValueError for a reflection that is wider than the image.
    """
    n, _, height, width = images.shape
    device, pad = images.device, settings.crop
    if settings.flip:
        mirrored = torch.rand(n, generator=generator).to(device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if pad:
        if settings.padding == "reflect" and pad >= min(height, width):
            raise ValueError(f"training.augmentation.crop: expected less than {min(height, width)} pixels, got {pad}")
        down, right = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(device)
        rows = down[:, None, None] + torch.arange(height, device=device)[:, None]  # (N, H, 1)
        columns = right[:, None, None] + torch.arange(width, device=device)  # (N, 1, W)
        padded = F.pad(images, (pad, pad, pad, pad), MODES[settings.padding])  # (N, C, H + 2 pad, W + 2 pad)
        images = padded.permute(0, 2, 3, 1)[torch.arange(n, device=device)[:, None, None], rows, columns].permute(
            0, 3, 1, 2
        )
    return images
