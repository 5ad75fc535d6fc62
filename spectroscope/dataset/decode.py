"""Encoded images (PNG, JPEG or whatever Pillow reads) as one uint8 tensor."""

import struct
from collections.abc import Iterable
from io import BytesIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from spectroscope.pipeline.progress import track

_MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def decode_all(
    images: Iterable[tuple[int, bytes, str]], count: int, channels: int, size: int | None, task: str
) -> Tensor:
    """Decode `count` images, given as (index in the result, encoded bytes, origin), into (count, channels, H, W) uint8.

    Where `size` is None, all images must have one size. `task` names the work in progress reports.
    ValueError naming the origin of an image that cannot be decoded or differs in size from the first.
    """
    pixels = None
    for index, encoded, origin in track(images, task, total=count):
        image = decode(encoded, channels, size, origin)
        if pixels is None:
            pixels = np.empty((count, *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise ValueError(
                f"{origin}: expected {_size(pixels)} pixels like the images before it, got {_size(image)} "
                f"(set `size` to bring all to one size)"
            )
        pixels[index] = image
    return torch.from_numpy(pixels)


def decode(encoded: bytes, channels: int, size: int | None, origin: str) -> np.ndarray:
    """One image as (channels, H, W) uint8.

    Pillow converts between modes: colour to grey by the luminance of ITU-R 601, grey to three equal channels; alpha is
    dropped. With `size`, the largest central square is resized to size x size (bicubic, antialiased; a smaller image
    is enlarged): the aspect ratio, hence every orientation, stays.
    ValueError naming `origin` for bytes that are no image, and for more than 8 bits a channel, which would be clipped.
    """
    try:
        with Image.open(BytesIO(encoded)) as image:
            if image.mode not in _EIGHT_BIT_MODES:
                raise ValueError(f"mode {image.mode}")
            converted = image.convert(_MODES[channels])
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        reason = f"got {len(encoded)} bytes that do not decode to one ({error})"
        raise ValueError(f"{origin}: expected an image of 8 bits a channel, {reason}") from None
    if size is not None:
        converted = ImageOps.fit(converted, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(converted).reshape(converted.height, converted.width, channels).transpose(2, 0, 1)


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[-2]}x{pixels.shape[-1]}"
