"""Augmentation: every image is mirrored and shifted on its own, and nothing else happens to it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spectroscope.bands import BandSettings, apply_band
from spectroscope.dataset.registry import DatasetSettings, load
from spectroscope.frequency.spectrum import dct2, shells
from spectroscope.pipeline import params
from spectroscope.training.augmentation import Augmentation, augment
from tests.trainings import NO_CHANGE, random

STUDY = Path(__file__).parents[2] / "params.yaml"


def beyond(place, length):
    """The pixel that a reflection shows at a place outside 0..length - 1."""
    return min(abs(place), 2 * (length - 1) - abs(place))


@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 2), (True, 2)])
def test_each_augmented_image_is_a_mirrored_and_shifted_one(flip, crop, padding):
    images = torch.rand(40, 2, 5, 7, generator=random())
    found = augment(images, Augmentation(flip=flip, crop=crop, padding=padding), random(1))
    assert found.shape == images.shape
    seen = set()
    for before, after in zip(images, found, strict=True):
        matches = []
        for mirrored in {False, flip}:
            for down in range(-crop, crop + 1):
                for right in range(-crop, crop + 1):
                    source, moved = before.flip(-1) if mirrored else before, torch.zeros_like(before)
                    for row in range(5):
                        for column in range(7):
                            if padding == "reflect":
                                place = beyond(row + down, 5), beyond(column + right, 7)
                                moved[:, row, column] = source[:, *place]
                            elif 0 <= row + down < 5 and 0 <= column + right < 7:
                                moved[:, row, column] = source[:, row + down, column + right]
                    if torch.equal(moved, after):
                        matches.append((mirrored, down, right))
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) > (2 if flip and not crop else 10) - 1
    assert {down for _, down, _ in seen} == set(range(-crop, crop + 1))
    assert {right for _, _, right in seen} == set(range(-crop, crop + 1))
    assert {mirrored for mirrored, _, _ in seen} == {False, flip}


def test_augmentation_that_does_nothing_returns_the_images():
    images, generator = torch.rand(4, 1, 3, 3, generator=random()), random(1)
    assert augment(images, Augmentation(**NO_CHANGE), generator) is images
    assert torch.equal(generator.get_state(), random(1).get_state())


def test_augmentation_comes_from_the_generator_and_leaves_its_input():
    images = torch.rand(8, 1, 6, 6, generator=random())
    before, both = images.clone(), Augmentation(flip=True, crop=2, padding="zero")
    first = augment(images, both, random(1))
    assert torch.equal(augment(images, both, random(1)), first) and torch.equal(images, before)
    assert not torch.equal(augment(images, both, random(2)), first)


@pytest.fixture(scope="module")
def low_passed():
    """Training photographs of the study that only have shells below 8."""
    photographs = load(params.load("dataset", DatasetSettings, STUDY)).train.head(480)
    band = params.load("bands.low", BandSettings, STUDY)
    return apply_band(replace(photographs, pixels=photographs.pixels / 255), band, training=True).pixels


@pytest.mark.parametrize(("padding", "low", "high"), [("zero", 0.21, 0.24), ("reflect", 0.012, 0.017)])
def test_reflection_leaves_a_fifteenth_of_the_energy_that_zeros_put_above_the_cut(low_passed, padding, low, high):
    energy = dct2(augment(low_passed, Augmentation(flip=True, crop=2, padding=padding), random()).double()).square()
    index = shells(32, 32)
    assert low < energy[..., index >= 8].sum() / energy[..., index > 0].sum() < high


def test_a_reflection_wider_than_the_image_is_refused():
    images, wide = torch.rand(2, 1, 5, 7, generator=random()), Augmentation(flip=False, crop=5, padding="reflect")
    with pytest.raises(ValueError, match=r"training\.augmentation\.crop: expected less than 5 pixels, got 5"):
        augment(images, wide, random())
