"""Predictions small enough to count by hand."""

import pytest
from findings_cases import predictions


@pytest.fixture
def small():
    """Four images of two classes, two networks each."""
    right = {
        ("standard", "clean"): [[1, 1, 1, 0], [1, 1, 0, 1]],
        ("standard", "pgd"): [[0, 0, 0, 0], [0, 1, 0, 0]],
        ("adversarial", "clean"): [[1, 0, 1, 0], [1, 0, 1, 0]],
        ("adversarial", "pgd"): [[1, 0, 1, 0], [1, 0, 0, 0]],
    }
    return predictions(right, [0, 0, 2, 2])
