"""Image files as pixels."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from dataset_cases import encode, noise
from PIL import Image

from spectroscope.dataset import decode


def test_resizing_keeps_the_aspect_ratio_and_the_centre():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    resized = decode.decode(encode(wide), 3, 10, "here")
    assert resized.shape == (3, 10, 10)
    assert (resized[..., 1:-1] == 255).all()
    assert (resized == resized[..., ::-1]).all() and resized.min() > 230


def test_resizing_averages_frequencies_beyond_the_new_limit_away():
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 255
    half = decode.decode(encode(stripes), 3, 8, "here").astype(int)
    assert abs(half - 127).max() < 40  # aliased, they would be 0 or 255


def test_an_image_of_the_wanted_size_keeps_its_pixels():
    (image,) = noise(0, 1)
    np.testing.assert_array_equal(decode.decode(encode(image), 3, 8, "here"), image.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_images_of_the_usual_kinds_are_decoded(kind):
    smooth = np.tile(np.linspace(0, 255, 16, dtype=np.uint8)[:, None, None], (1, 16, 3))
    pixels = decode.decode(encode(smooth, kind), 3, None, "here")
    assert abs(pixels.astype(int) - smooth.transpose(2, 0, 1)).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_image_is_turned_as_its_exif_orientation_says(kind, orientation):
    upright = noise(0, 1, 3, 8, 12)[0]
    back = {  # from the upright image to the stored one
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
        8: lambda x: np.rot90(x, -1),
    }
    picture, buffer = Image.fromarray(np.ascontiguousarray(back[orientation](upright))), BytesIO()
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(buffer, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decode.decode(buffer.getvalue(), 3, None, "here"), upright.transpose(2, 0, 1))


def png(bits, colour, rows):
    """A PNG of these rows of bytes (H, W * bytes of a pixel)."""

    def chunk(name, content):
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (bits * channels)
    header = width.to_bytes(4) + len(rows).to_bytes(4) + bytes([bits, colour, 0, 0, 0])
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


SIXTEEN = {
    **{f"PNG of colour type {colour}": png(16, colour, noise(0, 1, 1, 4, 48)[0, :, :, 0]) for colour in (0, 2, 4, 6)},
    "PPM": b"P6 4 4 65535\n" + noise(0, 1, 6, 4, 4).tobytes(),
    "PGM": b"P5 4 4 65535\n" + noise(0, 1, 2, 4, 4).tobytes(),
    "TIFF": encode(noise(0, 1, 1)[0].astype(np.uint16), "TIFF"),
}


@pytest.mark.parametrize("name", SIXTEEN)
def test_sixteen_bits_a_channel_are_refused_in_colour_too(name):
    with pytest.raises(ValueError, match=r"here: expected an image of 8 bits a channel, got .* \(mode "):
        decode.decode(SIXTEEN[name], 3, None, "here")
    np.testing.assert_array_equal(decode.decode(png(8, 2, np.full((2, 6), 7, np.uint8)), 3, None, "here"), 7)


def test_transparent_pixels_are_refused_and_opaque_ones_kept():
    opaque = np.concatenate([noise(0, 1)[0], np.full((8, 8, 1), 255, np.uint8)], 2)
    np.testing.assert_array_equal(decode.decode(encode(opaque), 3, None, "here"), opaque[..., :3].transpose(2, 0, 1))
    opaque[3, 4, 3] = 254
    with pytest.raises(ValueError, match=r"here: .*it has transparent pixels: paste it onto a background first"):
        decode.decode(encode(opaque), 3, None, "here")
    buffer, palette = BytesIO(), Image.fromarray(noise(0, 1)[0]).quantize(8)
    palette.save(buffer, "GIF", transparency=int(np.asarray(palette)[0, 0]))
    with pytest.raises(ValueError, match="transparent pixels"):
        decode.decode(buffer.getvalue(), 3, None, "here")


def test_images_that_do_not_fit_in_memory_are_refused_before_they_are_made():
    image = encode(noise(0, 1, 3, 100, 100)[0])
    with pytest.raises(ValueError, match=r"here: expected images that fit in \d+ GiB of memory, got 1000000000 images"):
        decode.decode_all(iter([(0, image, "here")]), 10**9, 3, None, "decode")


@pytest.mark.parametrize(("n_bytes", "fits"), [(4 * 192 + 191, False), (5 * 192, True)])
def test_images_have_to_fit_as_bytes_and_as_the_floats_of_later_stages(monkeypatch, n_bytes, fits):
    monkeypatch.setattr(decode.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": n_bytes}.get)
    (image,) = noise(0, 1)  # 3 x 8 x 8
    if fits:
        assert decode.decode_all(iter([(0, encode(image), "here")]), 1, 3, None, "decode").shape == (1, 3, 8, 8)
    else:
        with pytest.raises(ValueError, match="expected images that fit in 0 GiB of memory, got 1 images of 8x8 pixels"):
            decode.decode_all(iter([(0, encode(image), "here")]), 1, 3, None, "decode")
