"""The moving average of the weights: its rule, and that it is what is evaluated and kept."""

import pytest
import torch
from torch import nn

from spectroscope.models.held_out import split
from spectroscope.training.average import moving_average
from tests.trainings import accuracy, bright_or_dark, fit, linear


def test_the_average_starts_at_the_initial_weights_and_follows_by_its_rule():
    model = nn.BatchNorm1d(1)
    average, mean = moving_average(model, decay=0.9), 1.0
    with torch.no_grad():
        model.weight.fill_(2.0), model.running_var.fill_(2.0), model.num_batches_tracked.fill_(7)
    for step in range(1, 101):
        average.update_parameters(model)
        decay = min(0.9, (1 + step) / (10 + step))  # 2 / 11, 3 / 12, ...
        mean = decay * mean + (1 - decay) * 2
        assert float(average.module.weight.detach()) == pytest.approx(mean, abs=1e-6)
        assert float(average.module.running_var) == pytest.approx(mean, abs=1e-6)
    assert int(average.module.num_batches_tracked) == 7 and float(model.weight.detach()) == 2
    with torch.no_grad():
        model.weight.fill_(3.0)
    average.update_parameters(model)  # old: decay 0.9
    assert float(average.module.weight.detach()) == pytest.approx(0.9 * mean + 0.1 * 3, abs=1e-6)


def test_an_averaged_network_is_what_is_evaluated_and_kept():
    plain, averaged, met = linear(), linear(), []
    fit(plain, epochs=3)

    def attack(model, x, y, generator):
        met.append(model)
        return x

    rows = fit(averaged, validation_attack=attack, epochs=3, average=0.9)
    assert met[0] is not averaged and not any(weight.requires_grad for weight in met[0].parameters())
    images = bright_or_dark()
    _, out = split(images, 0.25)
    assert accuracy(averaged, images.pixels[out], images.labels[out]) == rows[-1]["clean"]
    assert torch.equal(averaged[1].weight, met[0][1].weight)
    assert (averaged[1].weight - plain[1].weight).abs().max() > 1e-4
