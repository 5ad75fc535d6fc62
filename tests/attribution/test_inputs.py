"""What does not fit is refused: images, labels, bands, baselines, and what a model returns."""

import math

import pytest
import torch
from attribution_cases import random

from spectroscope.attribution.occlusion import occluded_frequency


def linear():
    weights = random(240, 4, seed=3)
    return lambda x: x.flatten(1) @ weights + 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.ones(9, 8, 10)}, r"expected float images \(N, C, H, W\), got torch.float32 \(9, 8, 10\)"),
        ({"images": torch.ones(9, 3, 8, 10, dtype=torch.uint8)}, "expected float images .* got torch.uint8"),
        ({"labels": torch.zeros(8, dtype=torch.int64)}, r"expected one label for each of 9 images, got shape \(8,\)"),
        ({"labels": torch.full((9,), 4)}, r"expected labels 0\.\.3, got 4\.\.4"),
        ({"labels": torch.full((9,), -1)}, r"expected labels 0\.\.3, got -1\.\.-1"),
        ({"index": torch.zeros(10, 8, dtype=torch.int64)}, r"expected an index of shape \(8, 10\), got \(10, 8\)"),
        ({"index": torch.full((8, 10), -1)}, "expected bands numbered from 0, got -1"),
        ({"model": lambda x: linear()(x) * math.nan}, "expected finite logits, got NaN or infinity"),
        ({"model": lambda x: linear()(x)[:, 0]}, r"expected logits \(9, K\), got \(9,\)"),
        ({"model": lambda x: linear()(x)[:1]}, r"expected logits \(9, K\), got \(1, 4\)"),
        ({"score": "entropy"}, "expected score logit, margin, log_probability or probability, got 'entropy'"),
        ({"baseline": torch.zeros(10, 8)}, r"expected a baseline of shape \(3, 8, 10\), got \(10, 8\)"),
        ({"baseline": torch.zeros(8, 3, 8, 10)}, r"expected a baseline of shape \(3, 8, 10\), got \(8, 3, 8, 10\)"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, index, change, message):
    arguments = {"model": linear(), "images": images, "labels": labels, "index": index} | change
    with pytest.raises(ValueError, match=message):
        occluded_frequency(**arguments)


def test_a_dct_index_is_refused_in_the_dft_basis(images, labels, index):
    with pytest.raises(ValueError, match="expected a coefficient and its mirror in one band"):
        occluded_frequency(linear(), images, labels, index, basis="dft")


def test_a_model_that_returns_probabilities_is_warned_of(images, labels, index):
    with pytest.warns(UserWarning, match="expected logits, got probabilities"):
        occluded_frequency(lambda x: linear()(x).softmax(1), images, labels, index)
