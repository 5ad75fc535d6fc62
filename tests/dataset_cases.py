"""Images, and the settings and comparisons that the tests of every data set share."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image

from spectroscope.dataset.registry import DatasetSettings
from spectroscope.pipeline import params

NAMES = ["ant", "bee", "cat"]
NO_LIMIT = {"train": None, "test": None}
PHOTOS = {
    "name": "photos",
    "photographs": ["astronaut", "coins", "moon"],
    "size": 32,
    "tile": 64,
    "gap": 8,
    "test_share": 0.25,
    "min_std_255": 4.0,
    "per_class": {"train": 40, "test": 12},
    "seed": 0,
}


def settings(**values):
    return params.validate(values, DatasetSettings, "dataset")


def noise(seed, count, channels=3, height=8, width=8):
    """Random images (count, H, W, channels) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def encode(image, kind="PNG", mode=None):
    """An image (H, W, C) as the bytes of an image file."""
    buffer = BytesIO()
    picture = Image.fromarray(image.squeeze())
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return buffer.getvalue()


def as_pixels(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def rows_of(images):
    """The bytes of each image, in order."""
    return [image.numpy().tobytes() for image in images.pixels]


def assert_holds(images, expected, labels):
    """Each expected image is there once, under its label."""
    wanted = sorted((as_pixels(image).numpy().tobytes(), label) for image, label in zip(expected, labels, strict=True))
    assert sorted(zip(rows_of(images), images.labels.tolist(), strict=True)) == wanted
