"""FMN: the nearest point across a plane, and the steps of the algorithm one image at a time."""

import math

import pytest
import torch
from attack_cases import SHAPE, linear, settings_of, textbook_data, textbook_fooled, textbook_model

from spectroscope.attacks import runner

SLOPE = torch.linspace(-1, 1, 12).expand(SHAPE)
DISTANCES = {"fmn-l2": 5 / SLOPE.norm(), "fmn-linf": 5 / SLOPE.abs().sum()}


@pytest.mark.parametrize("case", DISTANCES)
def test_the_nearest_point_across_a_plane_is_found(case):
    x = torch.full((1, *SHAPE), 0.5)
    outcome = runner.run(settings_of(case, steps=100, n_targets=None), linear, x, torch.tensor([0]), seed=0)
    length = {"fmn-l2": outcome.l2, "fmn-linf": outcome.linf}[case]
    assert outcome.success.all()
    assert 0.9999 * DISTANCES[case] <= length[0] <= 1.005 * DISTANCES[case]


def textbook(x, label, target, best, norm, relative_step, gamma_0, steps):
    """The norm of the nearest adversary of one image (C, H, W) after a search: `best`, or that of one of its iterates.

    target: the class whose logit is to pass that of the label, None for the largest other at each step.
    """
    order = {"l2": 2, "linf": math.inf}[norm]
    root = x.numel() ** 0.5
    change, radius, found = torch.zeros_like(x), 0.0, False
    for k in range(steps + 1):
        z = (x + change).requires_grad_()
        logits = textbook_model(z[None])[0]
        values = logits.tolist()
        other = max((c for c in range(4) if c != label), key=lambda c: values[c]) if target is None else target
        (gradient,) = torch.autograd.grad(logits[other] - logits[label], z)
        length = float(change.flatten().norm(order))
        fooled = textbook_fooled(z.detach(), label)
        found = found or fooled
        best = min(best, length) if fooled else best
        share = (1 + math.cos(math.pi * k / steps)) / 2
        gamma = 0.001 + (gamma_0 - 0.001) * share
        if fooled:
            radius = min((1 - gamma) * radius, best)
        elif found:
            radius = (1 + gamma) * radius
        else:
            dual = float(gradient.flatten().norm({"l2": 2, "linf": 1}[norm]))
            radius = max((1 + gamma) * radius, length + 1.2 * abs(values[other] - values[label]) / dual)
        radius = min(radius, root if norm == "l2" else 1)
        size = relative_step * (0.01 + 0.99 * share) * radius * (1 if norm == "l2" else root)
        change = change + size * gradient / gradient.norm()
        if norm == "linf":
            change = change.clamp(-radius, radius)
        elif change.norm() > radius:
            change = change * radius / change.norm()
        change = (x + change).clamp(0, 1) - x
    return best


@pytest.mark.parametrize("case", ["fmn-l2", "fmn-linf"])
@pytest.mark.parametrize("n_targets", [None, 2])
def test_fmn_finds_what_the_textbook_loop_finds(case, n_targets):
    x, labels = textbook_data()
    settings = settings_of(case, steps=12, n_targets=n_targets)
    outcome = runner.run(settings, textbook_model, x, labels, seed=0)
    expected = []
    for image, label in zip(x, labels.tolist(), strict=True):
        logits, best = textbook_model(image[None])[0].tolist(), math.inf
        ranked = sorted((c for c in range(4) if c != label), key=lambda c: -logits[c])
        for target in [None] if n_targets is None else ranked[:n_targets]:
            arguments = settings.norm, settings.relative_step, settings.gamma, settings.steps
            best = textbook(image, label, target, best, *arguments)
        expected.append(best)
    expected = torch.tensor(expected)
    assert outcome.success.sum() >= 5 and torch.equal(outcome.success, expected.isfinite())
    length = {"l2": outcome.l2, "linf": outcome.linf}[settings.norm]
    torch.testing.assert_close(length[outcome.success], expected[outcome.success], rtol=1e-3, atol=0)


def test_fmn_goes_through_its_targets_until_the_nearest_is_found(model, data):
    one, all_ = (runner.run(settings_of("fmn-l2", n_targets=n), model, *data, seed=0) for n in (1, 3))
    both = one.success & all_.success
    assert (all_.l2[both] <= one.l2[both]).all() and (all_.l2[both] < 0.99 * one.l2[both]).any()


def test_the_radius_grows_until_an_adversary_is_found():
    """A score from 5 down to the boundary at 0, whose exponential is linearised to a step of 0.1, or 0.12 with the
    overshoot: 30 of those end at 3.6."""
    x = torch.full((1, *SHAPE), 0.5)

    def steep(z):
        score = linear(z)[:, 0]
        return torch.stack([(10 * score).exp() - 1, torch.zeros_like(score)], 1)

    outcome = runner.run(settings_of("fmn-l2", steps=30, gamma=0.3), steep, x, torch.tensor([0]), seed=0)
    assert outcome.success.all()
    assert 0.9999 * DISTANCES["fmn-l2"] <= outcome.l2[0] <= 1.02 * DISTANCES["fmn-l2"]


@pytest.mark.parametrize(("case", "queries"), [("fmn-l2", 41), ("fmn-linf", 1 + 2 * 41)])
def test_fmn_makes_a_query_for_each_step_and_one_for_the_last_iterate(case, queries, outcomes, data):
    """Once, or for each of two targets, which a query of the image chooses."""
    attacked = outcomes[case].before == data[1]
    assert (outcomes[case].queries[attacked] == queries).all() and not outcomes[case].queries[~attacked].any()
