"""Chosen images as pixels of the size and channels that a network wants, and what that did to them."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor

from spectroscope.dataset.decode import decode as decode_one
from spectroscope.profile.images import Chosen

LUMINANCE_SUM = 3688  # of the standard table of luminance (ITU-T T.81, Annex K)
GREY = (0.299, 0.587, 0.114)  # of red, green and blue in luminance (ITU-R BT.601)


@dataclass(frozen=True)
class Decoded:
    """pixels (N, C, H, W) float32; rows (N,): which of the chosen images could be read.

    sides (N, 2): height and width in the file. formats: how many of each. quality: median quality of the JPEG files;
    half_colour: share of files that store colour at half the resolution. facts in words: what was done.
    """

    pixels: Tensor
    rows: Tensor
    sides: Tensor
    formats: dict[str, int]
    quality: float | None
    half_colour: float
    unreadable: list[str]
    done: str


def sides_and_channels(chosen: Chosen) -> tuple[set[tuple[int, int]], int]:
    """Heights and widths that occur among the chosen images, and their channels, without decoding them."""
    if chosen.array is not None:
        array = _channels_first(chosen.array)
        return {(int(array.shape[2]), int(array.shape[3]))}, int(array.shape[1])
    sizes, grey = set(), True
    for encoded, _ in chosen.encoded or []:
        try:
            with Image.open(BytesIO(encoded)) as image:
                sizes.add((image.height, image.width))
                grey &= image.mode in ("1", "L", "LA")
        except Exception:  # counted and named by `decode`
            continue
    return sizes, 1 if grey else 3


def decode(chosen: Chosen, channels: int, size: tuple[int, int], crop: float) -> Decoded:
    """The images with `channels` and of `size` (height, width).

    Of an image of another shape, the largest central part of the size's aspect ratio, `crop` of it along each side, is
    resized (bicubic, antialiased). Arrays keep their values where they need no resizing. ValueError where no image can
    be read.
    """
    if chosen.array is not None:
        return _from_array(chosen, channels, size)
    pixels, rows, sides, unreadable, qualities, half = [], [], [], [], [], 0
    formats: dict[str, int] = {}
    for row, (encoded, origin) in enumerate(chosen.encoded or []):
        try:
            with Image.open(BytesIO(encoded)) as image:
                found, form = (image.height, image.width), image.format or "?"
                if isinstance(image, JpegImagePlugin.JpegImageFile):
                    qualities.append(jpeg_quality(image))
                    half += JpegImagePlugin.get_sampling(image) in (1, 2)
            array = decode_one(encoded, channels, None, origin)  # (C, H, W) uint8
        except Exception as error:
            unknown = isinstance(error, UnidentifiedImageError)  # it names an object in memory
            reason = "no known format" if unknown else (str(error) or type(error).__name__).splitlines()[0][:80]
            unreadable.append(f"{origin} ({reason})")
            continue
        pixels.append(torch.tensor(resized(array, size, crop)))
        rows.append(row)
        sides.append(found)
        formats[form] = formats.get(form, 0) + 1
    if not pixels:
        raise ValueError(
            f"{chosen.name}: expected images that can be read, got none of {len(unreadable)}: {unreadable[0]}"
        )
    found_sides = torch.tensor(sides)
    return Decoded(
        torch.stack(pixels).float() / 255, torch.tensor(rows), found_sides, formats,
        float(np.median(qualities)) if qualities else None, half / len(pixels), unreadable,
        _done(found_sides, size, crop),
    )  # fmt: skip


def resized(array: np.ndarray, size: tuple[int, int], crop: float) -> np.ndarray:
    """(C, H, W) uint8 -> (C, *size) uint8; unchanged where it has that size."""
    if array.shape[1:] == size:
        return array
    image = Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
    fitted = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC, bleed=(1 - crop) / 2)
    return np.asarray(fitted).reshape(*size, len(array)).transpose(2, 0, 1).copy()


def _done(sides: Tensor, size: tuple[int, int], crop: float) -> str:
    if bool((sides == torch.tensor(size)).all()):
        return f"shown as they are, {size[0]} x {size[1]} pixels"
    part = "the largest central part" if crop == 1 else f"the central {crop:.1%} of the largest central part"
    return f"{part} resized to {size[0]} x {size[1]} pixels (bicubic, antialiased)"


def jpeg_quality(image: Any) -> float:
    """Quality of a JPEG file as libjpeg counts it, from the sum of its table of luminance.

    The tables of quality q are the standard ones times 50 / q below 50 and 2 - q / 50 above.
    """
    scale = sum(image.quantization[0]) / LUMINANCE_SUM
    return float(np.clip(50 / scale if scale > 1 else 100 - 50 * scale, 1, 100))


def _channels_first(array: Tensor) -> Tensor:
    """(N, C, H, W) of an array (N, H, W), (N, C, H, W) or (N, H, W, C)."""
    if array.ndim == 3:
        return array[:, None]
    return array if array.shape[1] in (1, 3) or array.shape[3] not in (1, 3) else array.permute(0, 3, 1, 2)


def _from_array(chosen: Chosen, channels: int, size: tuple[int, int]) -> Decoded:
    assert chosen.array is not None
    array = _channels_first(chosen.array)
    sides = torch.tensor(array.shape[2:]).expand(len(array), 2)
    bytes_ = array.dtype == torch.uint8
    pixels = array.float() / 255 if bytes_ else array.float()
    if array.shape[1] == 1:
        pixels = pixels.expand(-1, channels, -1, -1)
    elif array.shape[1] != channels:
        pixels = (pixels * torch.tensor(GREY)[:, None, None]).sum(1, True)
    if tuple(array.shape[2:]) != size:
        ends = (0.0, 1.0) if bytes_ else (float(array.min()), float(array.max()))
        pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(*ends)
    return Decoded(
        pixels.contiguous(), torch.arange(len(pixels)), sides, {str(array.dtype).removeprefix("torch."): len(array)},
        None, 0.0, [], _done(sides, size, 1.0),
    )  # fmt: skip
