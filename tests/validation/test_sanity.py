"""Shuffled weights: which layers change, and how."""

from dataclasses import replace

import pytest
import torch
from validation_cases import SETTINGS, make_task, network

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline import params
from spectroscope.validation.sanity import SanitySettings, shuffled, shuffled_attributions


def test_shuffled_layers_keep_their_values_and_begin_at_the_end():
    model = network()
    half, whole = (shuffled(model, share, torch.Generator().manual_seed(0)) for share in (0.5, 1.0))
    for other, changed in ((half, [False, True]), (whole, [True, True])):
        for layer, moved in zip((1, 3), changed, strict=True):
            before, after = model[layer].weight, other[layer].weight
            assert before.equal(after) != moved
            assert before.flatten().sort().values.equal(after.flatten().sort().values)
    assert model[3].weight.equal(network()[3].weight)


def test_a_model_without_weights_cannot_be_shuffled():
    methods = params.validate(SETTINGS, AttributionSettings, "attribution").methods
    task = replace(make_task(), model=lambda x: x.flatten(1))
    with pytest.raises(ValueError, match="expected a torch module, whose weights can be shuffled, got function"):
        shuffled_attributions(task, methods, SanitySettings(n_images=2, shares=[1.0]))
