"""Shapley values, exact and sampled, against the mean over all orders."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from attribution_cases import EXACT, generator, linear, make_task, network, random, settings

from spectroscope.attribution.registry import attribute
from spectroscope.attribution.shapley import band_shapley, growing_coalitions, mean_gains, random_orders, shapley_values
from spectroscope.frequency.partitions import partition


def test_shapley_values_are_the_mean_over_all_orders():
    values = random(3, 2**4)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for order in itertools.permutations(range(4)):
        held = 0
        for band in order:
            expected[:, band] += (values[:, held | 1 << band] - values[:, held]) / math.factorial(4)
            held |= 1 << band
    torch.testing.assert_close(shapley_values(values), expected, **EXACT)


def test_shapley_values_sum_to_the_whole_and_symmetric_bands_get_the_same():
    values = random(5, 2**6)
    torch.testing.assert_close(shapley_values(values).sum(1), values[:, -1] - values[:, 0], **EXACT)
    bits = (torch.arange(64)[:, None] >> torch.arange(6)) & 1
    swapped = (bits[:, [1, 0, 2, 3, 4, 5]] * 2 ** torch.arange(6)).sum(1)
    symmetric = shapley_values(values + values[:, swapped])
    torch.testing.assert_close(symmetric[:, 0], symmetric[:, 1], **EXACT)


def test_sampled_shapley_values_close_in_on_the_exact_ones_within_their_errors():
    values, bands = random(40, 2**6), 6
    orders = random_orders(bands, 200, generator(5))
    assert torch.equal(orders[1::2], orders[::2].flip(1))
    bits = (growing_coalitions(orders) * 2 ** torch.arange(bands)).sum(1)
    found, error = mean_gains(values[:, bits], orders)
    torch.testing.assert_close(found.sum(1), values[:, -1] - values[:, 0], **EXACT)
    z = (found - shapley_values(values)) / error
    assert 0.85 < z.std() < 1.15 and z.abs().max() < 4.5  # n = 240
    assert error.mean() < 0.1


def test_growing_coalitions_by_hand():
    assert growing_coalitions(torch.tensor([[2, 0, 1]])).int().tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_too_many_bands_for_exact_values_name_the_way_out():
    task = make_task(linear())
    task = replace(task, index=partition(7, 10, "diagonal", 11, "dct"))
    with pytest.raises(
        ValueError, match=r"at most 10 bands for exact Shapley values \(2\^B coalitions\), got 11: use sam"
    ):
        attribute(task, settings("shapley"))
    assert attribute(task, settings("sampled_shapley")).values.shape == (6, 11)
    with pytest.raises(ValueError, match=r"expected the values of 2\^B coalitions, got 5"):
        shapley_values(random(2, 5))


def test_band_shapley_is_the_method_without_a_study():
    task = make_task(network(), score="margin")
    found = band_shapley(task.model, task.images, task.labels, task.index, score="margin", chunk=4)
    torch.testing.assert_close(found, attribute(task, settings("shapley")).values, **EXACT)


def test_logits_of_every_coalition_are_computed_once_and_not_for_other_images():
    calls = []
    task = make_task(lambda x: calls.append(len(x)) or network()(x))
    first = task.every_logits("zero", False)
    n = len(calls)
    assert task.every_logits("zero", False) is first and len(calls) == n
    part = replace(task, images=task.images[:2], labels=task.labels[:2])
    assert part.every_logits("zero", False).shape[0] == 2 and len(calls) > n
