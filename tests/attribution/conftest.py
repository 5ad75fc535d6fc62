"""Nine images of four classes, their shells, and a network that is not linear."""

import math

import pytest
import torch
from attribution_cases import generator

from spectroscope.frequency.spectrum import shells

SHAPE, CLASSES = (3, 8, 10), 4


@pytest.fixture(scope="module")
def images():
    return torch.rand(9, *SHAPE, generator=generator(), dtype=torch.float64)


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 3, 3, 1, 2])


@pytest.fixture(scope="module")
def index():
    return shells(*SHAPE[1:])


@pytest.fixture(scope="module")
def network():
    """Two dense layers with a kink between them: nothing about it is linear."""
    first = torch.randn(math.prod(SHAPE), 16, generator=generator(1), dtype=torch.float64)
    second = torch.randn(16, CLASSES, generator=generator(2), dtype=torch.float64)
    return lambda x: (x.flatten(1) @ first).relu() @ second
