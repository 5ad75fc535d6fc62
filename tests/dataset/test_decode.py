"""Image files as pixels."""

import numpy as np
import pytest
from dataset_cases import encode, noise

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
