"""Random flips and shifts of a batch of training images."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from spectroscope.pipeline.params import Settings


class Augmentation(Settings):
    """`flip`: mirror half of the images. `crop`: shift by up to this many pixels, zeros move in (as usual on CIFAR)."""

    flip: bool
    crop: Annotated[int, Field(ge=0)]


def augment(images: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """Mirror and shift every image independently: (N, C, H, W) -> (N, C, H, W)."""
    n, _, height, width = images.shape
    device, pad = images.device, settings.crop
    if settings.flip:
        mirrored = torch.rand(n, generator=generator).to(device) < 0.5
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if pad:
        down, right = torch.randint(0, 2 * pad + 1, (2, n), generator=generator).to(device)
        rows = down[:, None, None] + torch.arange(height, device=device)[:, None]  # (N, H, 1)
        columns = right[:, None, None] + torch.arange(width, device=device)  # (N, 1, W)
        padded = F.pad(images, (pad, pad, pad, pad)).permute(0, 2, 3, 1)  # (N, H + 2 pad, W + 2 pad, C)
        images = padded[torch.arange(n, device=device)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    return images
