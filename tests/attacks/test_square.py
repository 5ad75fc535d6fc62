"""Square: windows, schedule and bumps of the paper."""

import pytest
import torch
from attack_cases import settings_of

from spectroscope.attacks import runner, square


def test_the_windows_shrink_at_the_marks_of_the_paper():
    """p halves after 10, 50, 200, 500, 1000, ... of 10,000 iterations: sides of sqrt(p 32 32)."""
    sides = [square._side(0.8, iteration, 10_000, 32, 32) for iteration in (0, 10, 11, 51, 201, 501, 1001, 8001)]
    assert sides == [29, 29, 20, 14, 10, 7, 5, 1]
    assert [square._side(0.8, iteration, 1000, 32, 32) for iteration in (0, 1, 2, 6, 21)] == [29, 29, 20, 14, 10]
    assert square._side(1.0, 0, 100, 8, 20) == 8


def test_windows_are_squares_inside_the_image_wherever_they_are_drawn():
    draws = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    windows = square._windows(draws, 3, 5, 7)
    assert windows.shape == (400, 1, 5, 7)
    assert (windows.sum((2, 3)) == 9).all()
    assert windows.any(0).all()
    corners = {(int(w[0].any(1).long().argmax()), int(w[0].any(0).long().argmax())) for w in windows}
    assert len(corners) == 3 * 5


def test_a_bump_grows_ring_by_ring_to_the_middle():
    """n = 2: rings of 1/9, 1/9 + 1/4, 1/9 + 1/4 + 1 (Andriushchenko et al. 2020, Eq. 2)."""
    outer, middle, inner = 1 / 9, 1 / 9 + 1 / 4, 1 / 9 + 1 / 4 + 1
    expected = torch.full((5, 5), outer)
    expected[1:4, 1:4], expected[2, 2] = middle, inner
    torch.testing.assert_close(square._bump(5, 5), expected)


def test_the_first_perturbations_fill_the_ball():
    stripes = square._stripes((3, 12, 12), 0.2, torch.Generator().manual_seed(0))
    assert (stripes.abs() == 0.2).all() and torch.equal(stripes, stripes[:, :1].expand_as(stripes))
    assert len(stripes[:, 0].unique()) == 2
    tiles = square._tiles((3, 12, 12), 0.7, torch.Generator().manual_seed(0))
    assert tiles.norm().item() == pytest.approx(0.7, rel=1e-5)


@pytest.mark.parametrize(("norm", "propose"), [("linf", square._propose_linf), ("l2", square._propose_l2)])
def test_a_proposal_changes_its_windows_alone(norm, propose):
    generator = torch.Generator().manual_seed(3)
    x = 0.3 + 0.4 * torch.rand(50, 3, 12, 12, generator=generator)
    start = {"linf": square._stripes, "l2": square._tiles}[norm]
    now = x + torch.stack([start((3, 12, 12), 0.1, generator) for _ in x])
    draws = torch.rand(50, 8, generator=generator)
    tried = propose(x, now, 0.1, 3, draws)
    window = square._windows(draws[:, :2], 3, 12, 12)
    if norm == "l2":
        window = window | square._windows(draws[:, 2:4], 3, 12, 12)
        torch.testing.assert_close((tried - x).flatten(1).norm(dim=1), torch.full((50,), 0.1), rtol=1e-4, atol=0)
    else:
        torch.testing.assert_close((tried - x).abs(), torch.full_like(x, 0.1))
    changed = (tried - now).abs() > 1e-6
    assert not (changed & ~window).any() and changed.flatten(1).any(1).float().mean() > 0.8


def test_square_keeps_what_raises_the_margin_and_nothing_else():
    """Brightness alone counts: every point queried about is one window away from the brightest so far."""
    x, means = torch.full((1, 3, 12, 12), 0.5), []

    def bright(z):
        means.append(float(z.mean()))
        score = z.mean((1, 2, 3)) - 0.61
        return torch.stack([-score, score], 1)

    settings = settings_of("square-linf", eps_255=25.5, max_queries=400)
    outcome = runner.run(settings, bright, x, torch.tensor([0]), seed=0)
    assert not outcome.success.any() and outcome.queries.tolist() == [400]
    queried = torch.tensor(means[1:401])
    best = queried.cummax(0).values
    assert best[-1] > best[0] + 0.03
    for query in range(1, 400):
        pixels = square._side(0.3, query - 1, 400, 12, 12) ** 2
        assert abs(queried[query] - best[query - 1]) <= 2 * 0.1 * pixels / 144 + 1e-6  # one window from the best so far


@pytest.mark.parametrize("size", [{"norm": "linf", "eps_255": 25}, {"norm": "l2", "eps": 1.0}], ids=["linf", "l2"])
def test_a_proposal_that_changes_nothing_of_the_margin_is_not_accepted(size):
    """Every query about a network of constant scores is then one proposal away from the first perturbation."""
    x, queries = torch.full((1, 3, 12, 12), 0.5), []

    def constant(z):
        queries.append(z)
        return torch.tensor([[1.0, 0.0]]).expand(len(z), 2)

    settings = settings_of({"method": "square", "target": None, "first_share": 0.1, "max_queries": 200, **size})
    outcome = runner.run(settings, constant, x, torch.tensor([0]), seed=0)
    assert outcome.queries.tolist() == [200] and not outcome.success.any()
    assert torch.equal(queries[-1], queries[1])  # verified is the point reached: the first perturbation


def test_an_image_that_is_fooled_takes_no_further_query(model, data):
    outcome = runner.run(settings_of("square-linf", eps_255=16), model, *data, seed=0)
    queried = outcome.queries[outcome.success]
    assert queried.max() <= 150 and len(set(queried.tolist())) > 3
    assert torch.equal(queried, outcome.queries_to_success[outcome.success])
