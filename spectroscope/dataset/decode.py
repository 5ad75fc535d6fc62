"""Encoded images (PNG, JPEG, whatever Pillow reads) as one uint8 tensor."""

import struct
from collections.abc import Iterable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spectroscope.pipeline.progress import track

_MODES = {1: "L", 3: "RGB"}
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def stack(items: Iterable[tuple[int, bytes, str]], count: int, channels: int, size: int | None, what: str) -> Tensor:
    """Decode `count` items (place, encoded image, where it comes from) into (count, channels, H, W) uint8.

    With `size` None the images must have one size already. ValueError naming `where` for an image that differs from
    the first or cannot be decoded.
    """
    pixels = None
    for place, encoded, where in track(items, what, total=count):
        image = decode(encoded, channels, size, where)
        if pixels is None:
            pixels = np.empty((count, *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise ValueError(
                f"{where}: expected {_size(pixels)} pixels like the images before it, got {_size(image)} "
                f"(set `size` to bring all to one size)"
            )
        pixels[place] = image
    return torch.from_numpy(pixels)


def decode(encoded: bytes, channels: int, size: int | None, where: str) -> np.ndarray:
    """One image as (channels, H, W) uint8.

    Pillow converts between modes: colour to grey by the luminance of ITU-R 601, grey to three equal channels; alpha is
    dropped. With `size`, the shorter side is resized to it (bicubic, antialiased; a smaller image is enlarged) and the
    central size x size square is kept, so that the aspect ratio, hence every orientation, stays.
    ValueError naming `where` for bytes that are no image and for more than 8 bits a channel, which would be clipped.
    """
    try:
        with Image.open(BytesIO(encoded)) as image:
            if image.mode not in _EIGHT_BITS:
                raise ValueError(f"mode {image.mode}")
            converted = image.convert(_MODES[channels])
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        what = f"got {len(encoded)} bytes that do not decode to one ({error})"
        raise ValueError(f"{where}: expected an image of 8 bits a channel, {what}") from None
    if size is not None:
        converted = _square(converted, size)
    return np.asarray(converted).reshape(converted.height, converted.width, channels).transpose(2, 0, 1)


def _square(image: Image.Image, size: int) -> Image.Image:
    shorter = min(image.size)
    left, top = (image.width - shorter) / 2, (image.height - shorter) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + shorter, top + shorter))


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[-2]}x{pixels.shape[-1]}"
