"""Filtered copies of a data set, copies with permuted labels, and bands that cannot stand beside each other."""

import pytest
import torch

from spectroscope.bands import BandSettings, apply_band, check_bands
from spectroscope.frequency.passbands import FullBand, PassBand, band_filter
from spectroscope.pipeline import params
from spectroscope.pipeline.io import Images

ENTRIES = {
    "full": {"keep": "all", "clip": False},
    "low": {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 3, "clip": False},
    "permuted": {"keep": "permuted", "seed": 3},
    "permuted otherwise": {"keep": "permuted", "seed": 4},
}
BANDS = params.validate(ENTRIES, dict[str, BandSettings], "bands")


def images() -> Images:
    pixels = torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.arange(300) % 3, ("a", "b", "c"), torch.arange(300) // 4)


def band(low=0, high=1, keep="inside", basis="dct", unit="shells", clip=False) -> PassBand:
    return PassBand(keep=keep, basis=basis, shape="linf", unit=unit, low=low, high=high, clip=clip)


def test_permuted_labels_tell_nothing_and_are_those_of_the_seed():
    permuted, again, otherwise = (
        apply_band(images(), BANDS[name], True) for name in ("permuted", "permuted", "permuted otherwise")
    )
    assert permuted.pixels.equal(images().pixels) and permuted.labels.bincount().tolist() == [100, 100, 100]
    assert abs((permuted.labels == images().labels).float().mean() - 1 / 3) < 0.1  # n = 300, chance is 1 in 3
    assert permuted.labels.equal(again.labels) and not permuted.labels.equal(otherwise.labels)


def test_test_images_and_filtered_images_keep_their_labels():
    assert apply_band(images(), BANDS["permuted"], False).labels.equal(images().labels)
    low = apply_band(images(), BANDS["low"], True)
    assert low.labels.equal(images().labels) and low.pixels.equal(band_filter(images().pixels, BANDS["low"]))


@pytest.mark.parametrize("name", ENTRIES)
def test_images_keep_their_clusters(name):
    assert apply_band(images(), BANDS[name], True).clusters.equal(torch.arange(300) // 4)


def test_two_bands_that_give_the_same_images_are_refused():
    message = r"bands\.half: expected a band of its own, got the same coefficients as bands\.low"
    with pytest.raises(ValueError, match=message):
        check_bands({"low": band(0, 4), "half": band(0, 0.5, unit="fraction")}, 8, 8)
    with pytest.raises(ValueError, match=r"bands\.whole: .* as bands\.full"):
        check_bands({"full": FullBand(keep="all", clip=False), "whole": band(0, 5, basis="dft")}, 8, 8)
    check_bands({"low": band(0, 4), "clipped": band(0, 4, clip=True), "waves": band(0, 4, basis="dft")}, 8, 8)


def test_a_band_with_permuted_labels_may_stand_beside_the_full_band():
    check_bands(BANDS, 8, 8)


@pytest.mark.parametrize("keep", ["inside", "outside"])
def test_dc_alone_is_the_same_band_in_both_transforms(keep):
    bands = {"mean": band(keep=keep), "dc": band(keep=keep, basis="dft")}
    mean, dc = (band_filter(images().pixels.double(), one) for one in bands.values())
    torch.testing.assert_close(mean, dc, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match=r"bands\.dc: .* as bands\.mean"):
        check_bands(bands, 8, 8)


def test_a_band_beyond_the_images_is_named():
    with pytest.raises(ValueError, match=r"bands\.high: expected high <= 8 shells"):
        check_bands({"low": band(0, 4), "high": band(4, 9)}, 8, 8)
