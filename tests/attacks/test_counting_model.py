"""Queries that are counted, successes that count, and log odds."""

import pytest
import torch
from attack_cases import SHAPE, exact

from spectroscope.attacks.counting_model import CountingModel, log_odds, logits_of
from spectroscope.frequency.balls import Ball


def test_a_success_outside_the_ball_does_not_count():
    x = torch.full((2, *SHAPE), 0.5)
    model = CountingModel(
        lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1),
        x,
        torch.zeros(2, dtype=torch.int64),
        2,
        ball=Ball("linf", 0.1),
    )
    model(x - 0.05)
    model(x + 0.3)
    assert model.queries_to_success.tolist() == [0, 0]
    model(x[1:] + 0.1, torch.tensor([1]))
    assert model.queries_to_success.tolist() == [0, 3] and model.queries.tolist() == [2, 3]


def test_a_row_queried_twice_in_one_call_is_counted_twice_and_a_subset_counts_in_the_whole():
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    model = CountingModel(exact, x, exact(x).argmax(1), 4, targets=torch.tensor([0, 1, 2]))
    model(x[[0, 0, 2]], torch.tensor([0, 0, 2]))
    assert model.queries.tolist() == [2, 0, 1]
    subset = model.subset(torch.tensor([2, 1]))
    logits = subset(x[[2]], torch.tensor([0]))
    assert model.queries.tolist() == [2, 0, 2] and subset.queries.tolist() == [2, 0]
    assert subset.labels.tolist() == model.labels[[2, 1]].tolist() and subset.targets.tolist() == [2, 1]
    assert torch.equal(subset.partners, x[[2, 1]])
    assert subset.fooled(logits, torch.tensor([0])).tolist() == [int(logits.argmax()) == 2]


def test_log_odds_order_as_probabilities_do_and_do_not_saturate():
    logits = torch.tensor([[2.0, 1.0, 0.0], [60.0, 1.0, 0.0], [120.0, 1.0, 0.0]])
    labels = torch.zeros(3, dtype=torch.int64)
    probability = logits.double().softmax(1)[:, 0]
    odds = log_odds(logits, labels)
    assert odds[0].item() == pytest.approx(torch.logit(probability[0]).item(), rel=1e-5)
    assert odds[0] < odds[1] < odds[2]


def test_the_objective_is_lowered_by_reaching_the_goal():
    x, labels = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1])
    logits = torch.tensor([[3.0, 0, 0, 0], [0, 0, 5.0, 0]])
    untargeted = CountingModel(exact, x, labels, 4)
    targeted = CountingModel(exact, x, labels, 4, targets=torch.tensor([1, 2]))
    assert untargeted.objective(logits)[0] > 0 > untargeted.objective(logits)[1]
    assert targeted.objective(logits)[0] > 0 > targeted.objective(logits)[1]
    assert untargeted.fooled(logits).tolist() == targeted.fooled(logits).tolist() == [False, True]


def test_a_gradient_reaches_the_images_and_no_weight_of_a_network_inside_a_function():
    network = torch.nn.Linear(4, 3)
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    logits_of(lambda z: network(z.flatten(1)), x).sum().backward()
    assert x.grad.any() and network.weight.grad is None
