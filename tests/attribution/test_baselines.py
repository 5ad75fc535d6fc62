"""Baselines: energy of noise, partners, the mean."""

import pytest
import torch
from attribution_cases import EXACT, generator

from spectroscope.attribution.baselines import baseline
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import analyse, shells


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_noise_has_the_energy_of_each_band_of_each_image(images, basis):
    index = shells(8, 10, "linf", basis)
    noise = baseline("noise", images, index, basis, generator(4))
    own, drawn = (by_band(analyse(x, basis).abs().square(), index) for x in (images, noise))
    torch.testing.assert_close(drawn, own, **EXACT)
    assert (noise - images).abs().mean() > 0.1


def test_another_image_is_never_the_image_itself(images, index):
    for seed in range(20):
        other = baseline("other", images, index, "dct", generator(seed))
        partner = [next(k for k in range(9) if images[k].equal(image)) for image in other]
        assert sorted(partner) == list(range(9))
        assert all(n != k for n, k in enumerate(partner))


def test_zero_and_mean_baselines(images, index):
    assert baseline("zero", images, index, "dct", generator()) is None
    torch.testing.assert_close(baseline("mean", images, index, "dct", generator()), images.mean(0), **EXACT)
    with pytest.raises(ValueError, match="expected at least two images for the baseline other, got 1"):
        baseline("other", images[:1], index, "dct", generator())
    with pytest.raises(ValueError, match="expected baseline zero, mean, noise or other, got 'blur'"):
        baseline("blur", images, index, "dct", generator())
