"""Augmentation: every image is mirrored and shifted on its own, and nothing else happens to it."""

import pytest
import torch

from spectroscope.training.augmentation import Augmentation, augment
from tests.trainings import random


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 2), (True, 2)])
def test_each_augmented_image_is_a_mirrored_and_shifted_one(flip, crop):
    images = torch.rand(40, 2, 5, 7, generator=random())
    found = augment(images, Augmentation(flip=flip, crop=crop), random(1))
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
                            if 0 <= row + down < 5 and 0 <= column + right < 7:
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
    assert augment(images, Augmentation(flip=False, crop=0), generator) is images
    assert torch.equal(generator.get_state(), random(1).get_state())


def test_augmentation_comes_from_the_generator_and_leaves_its_input():
    images = torch.rand(8, 1, 6, 6, generator=random())
    before, both = images.clone(), Augmentation(flip=True, crop=2)
    first = augment(images, both, random(1))
    assert torch.equal(augment(images, both, random(1)), first) and torch.equal(images, before)
    assert not torch.equal(augment(images, both, random(2)), first)
