"""Bands as they are described."""

import numpy as np
import pytest
import torch

from spectroscope.attribution.compare import describe_bands
from spectroscope.frequency.spectrum import shells


def test_bands_are_described_by_size_energy_and_position():
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bands = describe_bands(images, shells(4, 4), "dct", "linf")
    assert bands["size"].tolist() == [1, 3, 5, 7]
    assert bands["energy"].sum() == pytest.approx(images.square().sum().item() / 3)
    np.testing.assert_allclose(bands["position"], [0, 1 / 4, 2 / 4, 3 / 4])
