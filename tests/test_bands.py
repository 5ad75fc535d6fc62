"""What a band makes of a set of images: filtered pixels, or labels that tell nothing."""

import pytest
import torch

from spectroscope import bands as bandfiles
from spectroscope.bands import BandFile, banded
from spectroscope.frequency.passbands import band_filter
from spectroscope.pipeline import params
from spectroscope.pipeline.io import Images

BANDS = {
    "full": {"keep": "all", "clip": False},
    "low": {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 3, "clip": False},
    "blind": {"keep": "permuted", "seed": 3},
    "blinder": {"keep": "permuted", "seed": 4},
}


def given() -> tuple[dict, Images]:
    pixels = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return params.validate(BANDS, dict[str, BandFile], "bands"), Images(pixels, torch.arange(300) % 3, ("a", "b", "c"))


def test_permuted_labels_tell_nothing_and_are_those_of_the_seed():
    bands, images = given()
    blind, again, other = (banded(images, bands[name], True) for name in ("blind", "blind", "blinder"))
    assert blind.pixels.equal(images.pixels) and blind.labels.bincount().tolist() == [100, 100, 100]
    assert abs((blind.labels == images.labels).float().mean() - 1 / 3) < 0.1  # n = 300, chance is 1 in 3
    assert blind.labels.equal(again.labels) and not blind.labels.equal(other.labels)


def test_test_images_keep_their_labels_and_a_filter_all_of_them():
    bands, images = given()
    assert banded(images, bands["blind"], False).labels.equal(images.labels)
    low = banded(images, bands["low"], True)
    assert low.labels.equal(images.labels) and low.pixels.equal(band_filter(images.pixels, bands["low"]))


def test_a_band_with_permuted_labels_may_stand_beside_the_whole_image():
    bands, _ = given()
    bandfiles.check(bands, 8, 8)
    with pytest.raises(ValueError, match=r"bands\.whole: expected a band of its own, got the same coefficients as"):
        bandfiles.check(bands | {"whole": bands["full"]}, 8, 8)
