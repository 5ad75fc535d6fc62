"""Shuffled weights: which layers change, and how."""

import torch
from torch import nn
from validation_cases import network

from spectroscope.attribution.shuffling import shuffled


def test_shuffled_layers_keep_their_values_and_begin_at_the_end():
    model = network()
    half, whole = (shuffled(model, share, torch.Generator().manual_seed(0)) for share in (0.5, 1.0))
    for other, changed in ((half, [False, True]), (whole, [True, True])):
        for layer, moved in zip((1, 3), changed, strict=True):
            before, after = model[layer].weight, other[layer].weight
            assert before.equal(after) != moved
            assert before.flatten().sort().values.equal(after.flatten().sort().values)
    assert model[3].weight.equal(network()[3].weight)


def test_weights_behind_a_parametrisation_are_shuffled():
    normed, x = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), torch.arange(12.0).view(2, 6)
    other = shuffled(nn.Sequential(normed), 1.0, torch.Generator().manual_seed(0))
    assert not torch.allclose(other(x), normed(x))
    assert torch.equal(other[0].bias.sort().values, normed.bias.sort().values)
