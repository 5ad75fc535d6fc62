"""Auto-PGD: the schedule of the paper, its strength beside PGD, its queries."""

import pytest
import torch
from attack_cases import SHAPE, exact, settings_of

from spectroscope.attacks import apgd, runner


def test_checkpoints_are_those_of_the_paper():
    """p = 0, .22, .41, .57, .70, .80, .87, .93, .99 (Croce & Hein 2020, section 3.1)."""
    assert sorted(apgd._checkpoints(100))[:-1] == [22, 41, 57, 70, 80, 87, 93, 99]


def adapt(rises, halved, best, checkpoint, since):
    """One image at `z` = 1 whose best point is 5, at a checkpoint."""
    point = torch.ones(1, 1, 1, 1)
    number = torch.tensor
    return apgd._adapt(
        apgd._State(
            *(number([0]), 0 * point, point, point, point, number([1.0]), 5 * point, 7 * point, number([best])),
            step=number([0.4]),
            rises=number([float(rises)]),
            checkpoint_value=number([checkpoint]),
            halved=number([halved]),
        ),
        since,
    )


@pytest.mark.parametrize(
    ("rises", "halved", "best", "halves"),
    [
        (9, False, 2.0, False),  # rose often and the best value improved
        (7, False, 2.0, True),  # rose in less than 3 of 4 steps
        (9, False, 1.0, True),  # no better best value, and the step was not halved before
        (9, True, 1.0, False),
    ],
)
def test_the_step_is_halved_on_either_condition_and_the_walk_goes_on_from_the_best_point(rises, halved, best, halves):
    state = adapt(rises, halved, best, checkpoint=1.0, since=10)
    assert state.step.item() == pytest.approx(0.2 if halves else 0.4)
    assert state.z.item() == (5 if halves else 1) and state.gradient.item() == (7 if halves else 1)
    assert state.halved.item() == halves and state.rises.item() == 0 and state.checkpoint_value.item() == best


def test_apgd_is_at_least_as_strong_as_pgd_of_as_many_steps(model, data):
    for eps in (4, 12):
        plain = runner.run(settings_of("pgd-linf", eps_255=eps, step_255=eps / 4, steps=20), model, *data, seed=3)
        auto = runner.run(settings_of("apgd-linf", eps_255=eps), model, *data, seed=3)
        assert auto.success.sum() >= plain.success.sum()


@pytest.mark.parametrize(("case", "size"), [("apgd-linf", 8 / 255), ("apgd-l2", 0.5)])
def test_the_start_is_a_random_point_on_the_surface_of_the_ball(case, size):
    x, queries = torch.full((2, *SHAPE), 0.5), []

    def watched(z):
        queries.append(z.detach() - x)
        return exact(z) + 100 * torch.eye(4)[0]  # never fooled

    runner.run(settings_of(case), watched, x, torch.tensor([0, 0]), seed=0)
    start = queries[1].flatten(1)
    reached = start.abs().amax(1) if case == "apgd-linf" else start.norm(dim=1)
    torch.testing.assert_close(reached, torch.full((2,), size), rtol=1e-5, atol=0)
    assert not torch.allclose(start[0], start[1])


def test_queries_are_one_and_the_steps_where_an_image_resists(outcomes, data):
    outcome = outcomes["apgd-linf"]
    resisted = ~outcome.success & (outcome.before == data[1])
    assert (outcome.queries[resisted] == 21).all() and resisted.any()
    assert outcome.queries[outcome.success].max() <= 21
    assert outcome.queries[outcome.success].float().mean() < 21
