"""Luminance of colour and grey images."""

import pytest
import torch

from spectroscope.frequency.channels import LUMINANCE, luminance, seen


def test_luminance_weights_belong_to_their_channels_and_sum_to_one():
    pure = torch.eye(3)[:, :, None, None]  # a red, a green and a blue pixel: (3, 3, 1, 1)
    assert luminance(pure).flatten().tolist() == pytest.approx(LUMINANCE)
    torch.testing.assert_close(luminance(torch.full((2, 3, 4, 5), 0.3)), torch.full((2, 1, 4, 5), 0.3))


def test_luminance_of_a_grey_image_is_its_one_channel():
    grey = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    assert luminance(grey).equal(grey) and seen(grey, "luminance").equal(grey) and seen(grey, "each").equal(grey)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="expected 1 or 3 channels for luminance, got 2"):
        luminance(torch.zeros(2, 8, 8))
    with pytest.raises(ValueError, match="expected channels each or luminance, got 'grey'"):
        seen(torch.zeros(3, 8, 8), "grey")
