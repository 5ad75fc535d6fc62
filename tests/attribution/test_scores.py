"""Scores against numbers computed by hand."""

import math

import pytest
import torch
from attribution_cases import EXACT

from spectroscope.attribution.occlusion import occluded_frequency


def test_scores_are_those_computed_by_hand():
    logits = torch.tensor([[-5.0, -1.0, -3.0], [2.0, 0.5, 1.0]], dtype=torch.float64)
    images, index = torch.ones(2, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
    labels = torch.tensor([1, 2])

    def model(x):
        return logits * x.flatten(1)  # all logits are 0 once the only coefficient is gone

    at_zero = {"logit": 0.0, "margin": 0.0, "log_probability": -math.log(3), "probability": 1 / 3}
    by_hand = {
        "logit": (-1.0, 1.0),
        "margin": (2.0, -1.0),
        "log_probability": (
            -1 - math.log(math.exp(-5) + math.exp(-1) + math.exp(-3)),
            1 - math.log(math.exp(2) + math.exp(0.5) + math.exp(1)),
        ),
        "probability": (
            math.exp(-1) / (math.exp(-5) + math.exp(-1) + math.exp(-3)),
            math.exp(1) / (math.exp(2) + math.exp(0.5) + math.exp(1)),
        ),
    }
    for kind, values in by_hand.items():
        attribution = occluded_frequency(model, images, labels, index, score=kind)
        expected = torch.tensor(values, dtype=torch.float64)[:, None] - at_zero[kind]
        torch.testing.assert_close(attribution, expected, **EXACT)


def test_a_margin_of_one_class_is_refused(images, index):
    with pytest.raises(ValueError, match="expected at least two classes for a margin, got 1"):
        occluded_frequency(lambda x: x.flatten(1)[:, :1], images, torch.zeros(9).long(), index, score="margin")
