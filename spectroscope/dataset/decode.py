"""Encoded images (PNG, JPEG or whatever Pillow reads) as one uint8 tensor."""

import os
import struct
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

from spectroscope.pipeline.progress import track

FLOAT_BYTES = 4
_MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
# what Pillow raises for damaged files; the last four come from tables of metadata that lead nowhere
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_UNREADABLE = (*_DAMAGED, KeyError, TypeError, IndexError, OverflowError)


def decode_all(
    images: Iterable[tuple[int, bytes, str]], count: int, channels: int, size: int | None, task: str
) -> Tensor:
    """Decode `count` images, given as (index in the result, encoded bytes, origin), into (count, channels, H, W) uint8.

    Where `size` is None, all images must have one size. `task` names the work in progress reports.
    ValueError naming the origin of an image that cannot be decoded or differs in size from the first, and where all of
    them do not fit in memory.
    """
    pixels = None
    for index, encoded, origin in track(images, task, total=count):
        image = decode(encoded, channels, size, origin)
        if pixels is None:
            _require_memory(count * image.size, f"{count} images of {_size(image)} pixels", origin)
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

    The image is turned as its EXIF orientation says: a photograph on its side has its horizontal and vertical
    frequencies exchanged. Pillow converts between modes: colour to grey by the luminance of ITU-R 601, grey to three
    equal channels. With `size`, the largest central square is resized to size x size (bicubic, antialiased; a smaller
    image is enlarged): the aspect ratio, hence every orientation, stays.
    ValueError naming `origin` for bytes that are no image, for more than 8 bits a channel, which would be cut off, and
    for transparent pixels, whose colour depends on a background.
    """
    try:
        with Image.open(BytesIO(encoded)) as image:
            _check_mode(image)
            ImageOps.exif_transpose(image, in_place=True)
            if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
                raise ValueError("it has transparent pixels: paste it onto a background first")
            converted = image.convert(_MODES[channels])
    except _UNREADABLE as error:
        raise _no_image(origin, len(encoded), error) from None
    if size is not None:
        converted = ImageOps.fit(converted, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(converted).reshape(converted.height, converted.width, channels).transpose(2, 0, 1)


def check_header(path: Path) -> None:
    """ValueError naming the file if its first bytes are not those of an image that `decode` takes."""
    try:
        with Image.open(path) as image:
            _check_mode(image)
    except _UNREADABLE as error:
        raise _no_image(str(path), path.stat().st_size, error) from None


def _check_mode(image: ImageFile.ImageFile) -> None:
    """ValueError for more than 8 bits a channel; of colour images Pillow cuts off the lower bits in silence."""
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(f"mode {image.mode}")
    for tile in image.tile:  # (decoder, region, offset, arguments): the bits of the file, which the mode does not tell
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        sixteen = any(isinstance(argument, str) and ";16" in argument for argument in arguments)
        if sixteen or (tile[0] in ("ppm", "ppm_plain") and any(isinstance(a, int) and a > 255 for a in arguments)):
            raise ValueError(f"mode {image.mode} of 16 bits")


def _no_image(origin: str, n_bytes: int, error: BaseException) -> ValueError:
    reason = f"got {n_bytes} bytes that do not decode to one ({error})"
    return ValueError(f"{origin}: expected an image of 8 bits a channel, {reason}")


def _require_memory(n_bytes: int, what: str, origin: str) -> None:
    """ValueError where pixels of this many bytes are larger than memory, as later stages hold them."""
    needed, memory = n_bytes * (1 + FLOAT_BYTES), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ValueError(
            f"{origin}: expected images that fit in {memory / 2**30:.0f} GiB of memory, got {what}, "
            f"{needed / 2**30:.0f} GiB as bytes and as floats (set `size` or a lower `limit`)"
        )


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[-2]}x{pixels.shape[-1]}"
