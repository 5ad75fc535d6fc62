"""NES and SPSA against a loop over single images written after the papers, and their queries."""

import pytest
import torch
from attack_cases import settings_of, textbook_data, textbook_fooled, textbook_log_odds, textbook_model, within_budget

from spectroscope.attacks import gradient_estimation, runner
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.pipeline import machine

PROBES = {"target": None, "samples": 6, "radius": 0.05, "max_queries": 40}
CASES = {
    "nes-linf": {**PROBES, "method": "nes", "norm": "linf", "eps_255": 20, "step_255": 5, "momentum": 0.4},
    "nes-l2": {**PROBES, "method": "nes", "norm": "l2", "eps": 0.8, "step_size": 0.3, "momentum": 0.4},
    "spsa-linf": {**PROBES, "method": "spsa", "norm": "linf", "eps_255": 20, "step_255": 5},
    "spsa-l2": {**PROBES, "method": "spsa", "norm": "l2", "eps": 0.8, "step_size": 0.03},
}
EVERY = pytest.mark.parametrize("case", CASES)
DATA = textbook_data()


@EVERY
@pytest.mark.parametrize("budget", [1, 2, 7, 8, 25])
def test_the_budget_holds_every_query_counts_and_no_gradient_is_taken(case, budget):
    outcome = within_budget(CASES[case], budget)
    spent = outcome.queries[~outcome.success]
    assert (spent >= budget - 2).all()  # a pair of probes and a test of the step is the least that helps


@pytest.mark.parametrize("case", ["nes-linf", "spsa-l2"])
def test_an_image_that_is_fooled_takes_no_further_query(case):
    outcome = runner.run(settings_of(CASES[case], max_queries=200), textbook_model, *DATA, seed=0)
    spent = outcome.queries[outcome.success]
    assert (spent % 7 == 0).all() and len(set(spent.tolist())) > 1  # whole steps: six probes and one test


def estimated(case, settings, x, label, generator):
    """One image, one step after the other (Ilyas et al. 2018; Uesato et al. 2018, Algorithm 1)."""
    eps, z, spent, step = settings.ball.eps, x.clone(), 0, 0
    velocity, first, second = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    while settings.max_queries - spent >= 3:
        pairs = min(settings.samples // 2, (settings.max_queries - spent - 1) // 2)
        gradient = torch.zeros_like(x)
        for _ in range(pairs):
            if case.startswith("nes"):
                u = torch.randn(x.shape, generator=generator)
            else:
                u = torch.where(torch.randint(0, 2, x.shape, generator=generator) == 1, 1.0, -1.0)
            above = textbook_log_odds((z + settings.radius * u).clamp(0, 1), label)
            below = textbook_log_odds((z - settings.radius * u).clamp(0, 1), label)
            gradient += (above - below) / (2 * settings.radius) * u / pairs
        step += 1
        if case.startswith("nes"):
            velocity = settings.momentum * velocity + gradient
            move = velocity.sign() if case.endswith("linf") else velocity / velocity.norm()
        else:
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        change = z - settings.step_size * move - x
        if case.endswith("linf"):
            change = change.clamp(-eps, eps)
        elif change.norm() > eps:
            change = change * eps / change.norm()
        z = (x + change).clamp(0, 1)
        spent += 2 * pairs + 1
        if textbook_fooled(z, label):
            break
    return z, spent


@pytest.mark.parametrize("case", ["nes-linf", "nes-l2", "spsa-linf", "spsa-l2"])
def test_estimated_gradients_take_the_steps_of_a_textbook_loop(case):
    x, labels = DATA
    settings = settings_of(CASES[case])
    outcome = runner.run(settings, textbook_model, x, labels, seed=3)
    assert 0 < outcome.success.sum() < len(x)
    for row in range(len(x)):
        expected, spent = estimated(case, settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row]
        assert bool(outcome.success[row]) == textbook_fooled(expected, int(labels[row]))
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=2e-5)


def test_a_pair_of_probes_gives_the_slope_along_them():
    shape = DATA[0].shape[1:]
    slope, u = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))

    def plane(x):
        score = ((x - 0.5) * slope).flatten(1).sum(1) / 10
        return torch.stack([score, -score], 1)

    x, labels = torch.full((2, *shape), 0.5), torch.tensor([0, 1])
    model, rows = CountingModel(plane, x, labels, 2), torch.arange(2)
    directions = torch.stack([u, u.flip(0)])
    estimate = gradient_estimation.estimate_gradient(model, x, rows, lambda rows: directions[rows], 1, 0.02)
    for row, sign in enumerate((1, -1)):
        expected = sign * (slope * directions[row]).sum() / 5 * directions[row]
        torch.testing.assert_close(estimate[row], expected, rtol=1e-3, atol=1e-3)
    assert model.queries.tolist() == [2, 2]
