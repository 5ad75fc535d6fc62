"""Pictures keep every pixel, and maps can be read against their control."""

import base64
import io as memory
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spectroscope.report import pictures


def decoded(image: str) -> np.ndarray:
    data = re.search(r"base64,([^\"]*)", image)[1]
    return np.asarray(Image.open(memory.BytesIO(base64.b64decode(data))).convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_keeps_every_pixel(channels, levels):
    pixels = np.random.default_rng(0).integers(0, levels, (channels, 9, 5)) * (255 // (levels - 1))
    image = pictures.picture(pixels / 255, "noise", height=18)
    np.testing.assert_array_equal(decoded(image), np.broadcast_to(pixels, (3, 9, 5)))
    assert 'width="10" height="18" alt="noise"' in image


def pair(attack: np.ndarray, control: np.ndarray) -> pd.DataFrame:
    u, v = np.indices(attack.shape).reshape(2, -1)
    key = {"run": "standard", "attack": "pgd", "estimator": "median_of_ratios", "u": u, "v": v}
    given = {"attack": attack, "control": control}
    return pd.concat(pd.DataFrame({**key, "source": name, "mean": values.ravel()}) for name, values in given.items())


def test_maps_of_attack_and_control_share_one_scale():
    control = np.array([[1.0, 2.0], [4.0, 8.0]])
    picture, span = pictures.maps(pair(4 * control, control))["standard", "pgd", "median_of_ratios"]
    left, middle, ratio = picture[:, :, :2], picture[:, :, 4:6], picture[:, :, 8:]
    assert span == "1 to 30"  # the first and the last percentile of 1 ... 32
    np.testing.assert_array_equal(left[:, 0, 0], middle[:, 1, 0])  # both are 4
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape))
    np.testing.assert_allclose(ratio[:, 0, 0] * 255, [0xB3, 0x47, 0x00])  # four times: the end of the scale


def test_a_map_is_upright():
    attack = np.ones((3, 3))
    attack[0, 2] = 9.0  # u = 0, v = 2: a high horizontal frequency, top right
    picture, _ = pictures.maps(pair(attack, np.ones((3, 3))))["standard", "pgd", "median_of_ratios"]
    darkest = np.unravel_index(picture[:, :, :3].sum(0).argmin(), (3, 3))
    assert darkest == (0, 2)


def test_the_calibrated_map_stands_beside_the_paper_s():
    ratios, score = np.array([[1.0, 2.0], [3.0, 8.0]]), np.log([[4.0, 1.0], [0.25, np.nan]])
    parts = [
        pair(values, values).assign(estimator=name) for name, values in (("mean_of_ratios", ratios), ("score", score))
    ]
    table = pd.concat(parts)
    picture = pictures.calibrated(table)["standard", "pgd"]
    assert picture.shape == (3, 2, 6)
    np.testing.assert_allclose(picture[:, 1, 1] * 255, [0x06, 0x2B, 0x4F])  # its own maximum
    np.testing.assert_allclose(picture[:, 0, 4] * 255, [0xB3, 0x47, 0x00])  # four times what noise does
    np.testing.assert_allclose(picture[:, 1, 4] * 255, [0x00, 0x72, 0xB2])  # a quarter
    np.testing.assert_allclose(picture[:, 1, 5], 0.6)
    assert list(pictures.maps(table)) == [("standard", "pgd", "mean_of_ratios")]


def test_a_map_without_its_control_is_refused():
    rows = pair(np.ones((2, 2)), np.ones((2, 2))).query("source == 'attack'")
    with pytest.raises(ValueError, match="expected attack and control of one shape, got attack"):
        pictures.maps(rows)


def test_a_value_that_is_not_finite_is_grey():
    attack = np.array([[np.nan, 1.0], [2.0, 0.0]])
    picture, span = pictures.maps(pair(attack, np.ones((2, 2))))["standard", "pgd", "median_of_ratios"]
    np.testing.assert_allclose(picture[:, 0, 0], 0.6)
    assert span == "1 to 1.9"
