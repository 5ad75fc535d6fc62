"""HopSkipJump against a loop over single images written after the paper, and what it sees."""

import math

import pytest
import torch
from attack_cases import settings_of, textbook_data, textbook_fooled, textbook_model, within_budget

from spectroscope.attacks import runner
from spectroscope.pipeline import machine

PROBES = {"method": "hop_skip_jump", "initial_probes": 15, "max_queries": 200}
CASES = {"l2": {**PROBES, "norm": "l2", "eps": None}, "linf": {**PROBES, "norm": "linf", "eps_255": None}}
NORMS = pytest.mark.parametrize("norm", CASES)
DATA = textbook_data()


@NORMS
@pytest.mark.parametrize("budget", [1, 2, 8, 25, 100])
def test_the_budget_holds_every_query_counts_and_no_gradient_is_taken(norm, budget):
    outcome = within_budget(CASES[norm], budget)
    spent = outcome.queries[~outcome.success]
    assert (spent >= budget - 2).all()  # the last queries may be too few for a step


def jumped(settings, x, label, generator):
    """One image, one query after the other (Chen et al. 2020, Algorithms 1 and 2)."""
    budget, l2, d, spent = settings.max_queries, settings.norm == "l2", x.numel(), 0
    theta = d**-1.5 if l2 else d**-2.0

    def size(change):
        return float(change.norm() if l2 else change.abs().max())

    def ask(z):
        nonlocal spent
        if spent == budget:
            return False
        spent += 1
        return textbook_fooled(z, label)

    def boundary(z):
        change = z - x
        wide = change.abs().max()

        def at(share):
            nearer = share * change if l2 else change.clamp(-share * wide, share * wide)
            return (x + (change if share == 1 else nearer)).clamp(0, 1)

        low, high = 0.0, 1.0
        for _ in range(math.ceil(math.log2(1 / theta))):
            middle = (low + high) / 2
            low, high = (low, middle) if ask(at(middle)) else (middle, high)
        return at(high)

    first = True
    while True:
        noise = torch.rand(x.shape, generator=generator)
        z = torch.lerp(x, noise, 1.0 if first else float(torch.rand((), generator=generator)))
        first = False
        if ask(z):
            break
        if spent == budget:
            return x, spent
    best, turn = None, 0
    while True:
        turn += 1
        z = boundary(z)
        distance = size(z - x)
        if best is None or distance < size(best - x):
            best = z
        if spent == budget or (settings.ball and size(best - x) <= settings.ball.eps):
            break
        radius = 0.1 if turn == 1 else distance * theta * (math.sqrt(d) if l2 else d)
        answers, directions = [], []
        for _ in range(min(int(settings.initial_probes * math.sqrt(turn)), budget - spent)):
            u = torch.randn(x.shape, generator=generator) if l2 else 2 * torch.rand(x.shape, generator=generator) - 1
            probe = (z + radius * (u / u.norm())).clamp(0, 1)
            answers.append(1.0 if ask(probe) else -1.0)
            directions.append((probe - z) / radius)
        answers, directions = torch.tensor(answers), torch.stack(directions)
        mean = answers.mean() if answers.mean().abs() < 1 else 0.0
        gradient = ((answers - mean)[:, None, None, None] * directions).sum(0)
        move = gradient / gradient.norm() if l2 else gradient.sign()
        length = distance / math.sqrt(turn)
        while spent < budget:
            tried = (z + length * move).clamp(0, 1)
            if ask(tried):
                z = tried
                break
            length /= 2
    return best, spent


@pytest.mark.parametrize("changes", [{}, {"max_queries": 77}, {"max_queries": 600, "eps": 0.35, "eps_255": 18}])
@NORMS
def test_hop_skip_jump_takes_the_steps_of_a_textbook_loop(norm, changes):
    x, labels = DATA
    changes = {key: value for key, value in changes.items() if key != ("eps" if norm == "linf" else "eps_255")}
    settings = settings_of(CASES[norm], **changes)
    outcome = runner.run(settings, textbook_model, x, labels, seed=3)
    assert outcome.success.sum() > 4
    for row in range(len(x)):
        expected, spent = jumped(settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row], row
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=1e-4)


def test_hop_skip_jump_goes_along_its_probe_where_there_is_one_alone():
    x, labels = DATA
    settings = settings_of(CASES["l2"], initial_probes=1, max_queries=80)
    outcome = runner.run(settings, textbook_model, x, labels, seed=3)
    for row in outcome.success.nonzero()[:, 0].tolist():
        expected, _ = jumped(settings, x[row], int(labels[row]), machine.generator(3, row))
        torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=1e-4)


@NORMS
def test_hop_skip_jump_sees_nothing_but_the_class(norm):
    def classes_only(x):
        return torch.nn.functional.one_hot(textbook_model(x).argmax(1), 4).float()

    settings = settings_of(CASES[norm])
    scores, classes = (runner.run(settings, each, *DATA, seed=1) for each in (textbook_model, classes_only))
    assert torch.equal(scores.perturbation, classes.perturbation) and torch.equal(scores.queries, classes.queries)


@pytest.mark.parametrize(("norm", "nearest"), [("l2", 1.1), ("linf", 1.25)])
def test_hop_skip_jump_comes_near_the_plane_that_separates_two_classes(norm, nearest):
    slope = torch.randn(DATA[0].shape[1:], generator=torch.Generator().manual_seed(1))

    def plane(x):
        score = ((x - 0.5) * slope).flatten(1).sum(1) + 2
        return torch.stack([score, -score], 1)

    x = torch.full((2, *DATA[0].shape[1:]), 0.5)
    settings = settings_of(CASES[norm], max_queries=4000, initial_probes=50)
    outcome = runner.run(settings, plane, x, torch.zeros(2, dtype=torch.int64), seed=0)
    distance = 2 / (slope.norm() if norm == "l2" else slope.abs().sum())
    found = outcome.l2 if norm == "l2" else outcome.linf
    assert outcome.success.all()
    assert (found >= 0.999 * distance).all() and (found <= nearest * distance).all()


def test_hop_skip_jump_in_a_ball_is_done_inside_it():
    free = runner.run(settings_of(CASES["l2"], max_queries=600), textbook_model, *DATA, seed=3)
    eps = float(free.l2.median())
    confined = runner.run(settings_of(CASES["l2"], max_queries=600, eps=eps), textbook_model, *DATA, seed=3)
    assert confined.success.any() and confined.l2.max() <= eps + 1e-6
    assert (confined.queries[confined.success] < 600).any()


def test_an_image_that_no_noise_takes_from_its_class_is_left_alone():
    outcome = runner.run(
        settings_of(CASES["l2"]), lambda x: textbook_model(x) * 0 + torch.eye(4)[2], DATA[0], torch.full((9,), 2), 0
    )
    assert not outcome.success.any() and (outcome.queries == 200).all()
