"""Counterparts come back where the representation sees, and stay at the start where it is blind."""

import pytest
import torch
from torch import nn

from spectroscope.frequency.spectrum import dct2
from spectroscope.probing.counterparts import CounterpartSettings, counterparts, representation

SETTINGS = CounterpartSettings(n_images=4, steps=30, learning_rate=0.5, seed=0)


def pixels(n: int, seed: int) -> torch.Tensor:
    return 0.3 + 0.4 * torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seen", [slice(0, 3), slice(4, 8)])
def test_only_what_the_representation_sees_comes_back(seen):
    features = lambda x: dct2(x)[:, 0, seen, seen].flatten(1)  # noqa: E731
    x, start = pixels(4, 0), pixels(4, 1)
    reached, left = counterparts(features, x, start, SETTINGS)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[seen, seen] = True
    before, after = (dct2(images - x).square().mean((0, 1)) for images in (start, reached))
    assert (after[inside].sum() / before[inside].sum()) < 0.01
    assert after[~inside].sum() / before[~inside].sum() == pytest.approx(1, abs=0.05)
    assert (left < 0.1).all()
    assert reached.min() >= 0 and reached.max() <= 1
    alone, _ = counterparts(features, x[1:2], start[1:2], SETTINGS)
    torch.testing.assert_close(alone, reached[1:2], rtol=0, atol=1e-3)


def test_the_representation_is_the_input_of_the_last_layer():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 5))
    x = pixels(2, 0)
    torch.testing.assert_close(representation(network, x)(x), network[:3](x))
    assert not network[3]._forward_pre_hooks
    with pytest.raises(ValueError, match="expected a linear layer or a convolution that the images pass, got none"):
        representation(nn.Sequential(nn.Flatten()), x)


def test_the_representation_is_that_of_the_classifier_and_not_of_the_layer_registered_last():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.gate = nn.Linear(64, 5), nn.Linear(64, 64)

        def forward(self, x):
            return self.head(x.flatten(1) * self.gate(x.flatten(1)).sigmoid())

    network, x = Gated(), pixels(2, 0)
    gated = x.flatten(1) * network.gate(x.flatten(1)).sigmoid()
    torch.testing.assert_close(representation(network, x)(x), gated)


def test_a_counterpart_that_cannot_move_stays_where_it_is():
    x, start = pixels(2, 0), pixels(2, 1)
    dead = lambda images: (images.flatten(1) - 9).relu() + images.flatten(1).round().detach()  # noqa: E731
    reached, left = counterparts(dead, x, start, SETTINGS)
    assert reached.equal(start) and left.tolist() == [1, 1]
    constant = lambda images: 0 * images.flatten(1)  # noqa: E731
    reached, left = counterparts(constant, x, start, SETTINGS)
    assert reached.equal(start) and left.tolist() == [1, 1]
