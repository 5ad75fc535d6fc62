"""Pictures keep every pixel, and maps can be read against their control."""

import numpy as np
import pytest
from report_pages import decoded

from spectroscope.report import pictures


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_keeps_every_pixel(channels, levels):
    pixels = np.random.default_rng(0).integers(0, levels, (channels, 9, 5)) * (255 // (levels - 1))
    picture = pictures.picture(pixels / 255, "noise", height=18)
    np.testing.assert_array_equal(decoded(picture), np.broadcast_to(pixels, (3, 9, 5)))
    assert (picture.width, picture.height, picture.text) == (10, 18, "noise")


def test_maps_of_attack_and_control_share_one_scale():
    control = np.array([[1.0, 2.0], [4.0, 8.0]])
    pixels, span = pictures.attack_control_ratio(4 * control, control)
    left, middle, ratio = pixels[:, :, :2], pixels[:, :, 4:6], pixels[:, :, 8:]
    assert span == "1 to 30"  # the first and the last percentile of 1 ... 32
    np.testing.assert_array_equal(left[:, 0, 0], middle[:, 1, 0])  # both are 4
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape))
    np.testing.assert_allclose(ratio[:, 0, 0] * 255, [0xB3, 0x47, 0x00])  # four times: the end of the scale


def test_the_calibrated_map_stands_beside_the_paper_s():
    ratios, score = np.array([[1.0, 2.0], [3.0, 8.0]]), np.log([[4.0, 1.0], [0.25, np.nan]])
    pixels = pictures.paper_and_score(ratios, score)
    assert pixels.shape == (3, 2, 6)
    np.testing.assert_allclose(pixels[:, 1, 1] * 255, [0x06, 0x2B, 0x4F])  # its own maximum
    np.testing.assert_allclose(pixels[:, :, 2:4], 1)  # the gap
    np.testing.assert_allclose(pixels[:, 0, 4] * 255, [0xB3, 0x47, 0x00])  # four times what noise does
    np.testing.assert_allclose(pixels[:, 1, 4] * 255, [0x00, 0x72, 0xB2])  # a quarter
    np.testing.assert_allclose(pixels[:, 1, 5], 0.6)


def test_a_value_that_is_not_finite_is_grey():
    attack = np.array([[np.nan, 1.0], [2.0, 0.0]])
    pixels, span = pictures.attack_control_ratio(attack, np.ones((2, 2)))
    np.testing.assert_allclose(pixels[:, 0, 0], 0.6)
    assert span == "1 to 1.9"


def test_a_signed_map_is_grey_at_zero_and_has_a_colour_for_each_sign():
    below, zero, above = pictures.signed(np.array([[-1.0, 0.0, 1.0]]))[:, 0].T
    assert below[2] > below[0] and above[0] > above[2]
    assert zero.max() - zero.min() < 0.1
