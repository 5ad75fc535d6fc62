"""Balls, projections, random points and steps against arithmetic anyone can check."""

import pytest
import torch
from scipy.stats import beta, kstest

from spectroscope.frequency import balls
from spectroscope.frequency.balls import norms

NORMS = pytest.mark.parametrize("norm", ["linf", "l2", "l1"])


def changes(n, scale, seed=0):
    return scale * torch.randn(n, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


@NORMS
def test_projection_ends_in_the_ball_and_leaves_its_points_alone(norm):
    change = changes(8, 1.0)
    eps = float(norms(change, norm).median())
    projected = balls.project(change, norm, eps)
    inside = norms(change, norm) <= eps
    assert 0 < inside.sum() < 8
    torch.testing.assert_close(projected[inside], change[inside])
    torch.testing.assert_close(norms(projected[~inside], norm), torch.full_like(change[~inside, 0, 0, 0], eps))


def test_a_photograph_of_ordinary_size_ends_in_the_l2_ball():
    """A float32 sum over 150,528 pixels loses more than the tolerance of a radius."""
    for seed in range(4):
        change = 0.01 * torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(seed))
        lengths = balls.project(change, "l2", 0.912884).double().flatten(1).norm(dim=1)
        assert (lengths - 0.912884).abs().max() < 1e-7


@NORMS
def test_no_point_of_the_ball_is_nearer_than_the_projection(norm):
    """The projection p of z onto a convex set: <z - p, q - p> <= 0 for every q of the set."""
    change, eps = changes(1, 2.0), 1.5
    projected = balls.project(change, norm, eps)
    others = balls.project(changes(500, 1.0, seed=1), norm, eps)
    assert ((change - projected) * (others - projected)).flatten(1).sum(1).max() <= 1e-4


def test_projection_onto_the_l1_ball_subtracts_one_level():
    """|3|, |2|, |1| onto 3: the level 1 leaves 2 + 1 + 0."""
    change = torch.tensor([3.0, -2.0, 1.0, 0.0]).view(1, 1, 2, 2)
    expected = torch.tensor([2.0, -1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    torch.testing.assert_close(balls.project(change, "l1", 3.0), expected)


@NORMS
def test_random_points_lie_in_the_ball_and_repeat_with_the_seed(norm):
    x, seeds = torch.zeros(40, 3, 4, 5), range(40)
    points = balls.random_point(x, norm, 0.7, [torch.Generator().manual_seed(seed) for seed in seeds])
    assert norms(points, norm).max() <= 0.7 + 1e-6 and len(set(norms(points, norm).tolist())) == 40
    for generators in (torch.Generator().manual_seed(3), [torch.Generator().manual_seed(3)]):
        assert torch.equal(points[3:4], balls.random_point(x[:1], norm, 0.7, generators))


@NORMS
@pytest.mark.parametrize("several", [True, False])
def test_random_points_are_uniform_in_the_volume_of_the_ball(norm, several):
    """The share of the volume within radius r is r^D; the share of a pixel in the norm is that of a uniform point."""
    generators = torch.Generator().manual_seed(0)
    if several:
        generators = [torch.Generator().manual_seed(seed) for seed in range(2000)]
    points = balls.random_point(torch.zeros(2000, 1, 1, 4), norm, 0.3, generators).double().flatten(1) / 0.3
    radius = norms(points[:, None, None], norm)
    first = points[:, 0].abs()
    share = {
        "linf": (first, beta(1, 1)),
        "l2": ((first / radius) ** 2, beta(1 / 2, 3 / 2)),
        "l1": (first / radius, beta(1, 3)),
    }
    assert kstest(radius**4, "uniform").pvalue > 0.01
    assert kstest(share[norm][0], share[norm][1].cdf).pvalue > 0.01
    assert abs(float((points > 0).double().mean()) - 0.5) < 0.02


@NORMS
@pytest.mark.parametrize("direction", ["sign", "l2"])
def test_sign_and_scaled_steps_have_the_same_size(norm, direction):
    step = balls.step(changes(3, 5.0), direction, norm, 0.2)
    size = step.flatten(1).square().mean(1).sqrt() if norm == "linf" else norms(step, norm)
    torch.testing.assert_close(size, torch.full((3,), 0.2))


def test_a_step_along_the_sign_has_equal_pixels_one_along_the_gradient_its_shape_and_a_raw_one_its_size():
    gradient = changes(2, 3.0)
    torch.testing.assert_close(balls.step(gradient, "sign", "linf", 0.1), 0.1 * gradient.sign())
    torch.testing.assert_close(balls.step(gradient, "raw", "l2", 0.1), 0.1 * gradient)
    ratio = balls.step(gradient, "l2", "l2", 0.1) / gradient
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))


def test_a_random_start_is_a_point_of_the_ball_around_the_image_and_of_the_cube_of_pixels():
    x = torch.rand(4, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    seeds = [torch.Generator().manual_seed(seed) for seed in range(4)]
    start = balls.random_start(x, "linf", 0.3, seeds)
    assert start.min() >= 0 and start.max() <= 1 and norms(start - x, "linf").max() <= 0.3 + 1e-6
    band = 3 * (x - 0.5)  # pixels outside [0, 1]
    start = balls.random_start(band, "l2", 0.3, seeds)
    assert norms(start - band, "l2").max() <= 0.3 + 1e-6 and start.min() < -1 and start.max() > 1
    start = balls.random_start(x, "linf", 0.3, [torch.Generator().manual_seed(seed) for seed in range(4)])
    alone = balls.random_start(x[2:3], "linf", 0.3, [torch.Generator().manual_seed(2)])
    assert start[2].equal(alone[0])  # an image's start does not depend on its batch


def test_a_zero_gradient_makes_no_step():
    for direction in ("sign", "l2", "raw"):
        assert not balls.step(torch.zeros(2, 3, 4, 4), direction, "l2", 0.5).any()
