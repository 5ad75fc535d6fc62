"""The planes that DeepFool and FAB step to, and the exact projection onto them."""

import pytest
import torch
from attack_cases import SHAPE

from spectroscope.attacks import boundaries
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.frequency.balls import norms

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


def planes(n=20, seed=0):
    """Points of the cube, a fifth of the pixels at 0 and a fifth at 1, and planes at various distances from them."""
    generator = torch.Generator().manual_seed(seed)
    point = (1.4 * torch.rand(n, 2, 3, 4, generator=generator) - 0.2).clamp(0, 1)
    weight = torch.randn(n, 2, 3, 4, generator=generator)
    return point, weight, 10 * torch.randn(n, generator=generator)


def by_bisection(point, weight, f, norm):
    """The same projection by halving an interval of the length."""
    point, weight, f = point.double(), weight.double(), f.double()
    way = -f.sign()[:, None, None, None] * (weight if norm == "l2" else weight.sign())
    low, high = torch.zeros_like(f), torch.full_like(f, 1e4)
    for _ in range(80):
        middle = (low + high) / 2
        moved = (point + middle[:, None, None, None] * way).clamp(0, 1)
        value = f + (weight * (moved - point)).flatten(1).sum(1)
        short = value.sign() == f.sign()
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (point + high[:, None, None, None] * way).clamp(0, 1)


@NORMS
def test_the_projection_onto_a_plane_in_the_cube_is_exact(norm):
    point, weight, f = planes()
    found = boundaries.project_onto_plane(point, weight, f, norm)
    expected = by_bisection(point, weight, f, norm)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    left = f + (weight * (found - point)).flatten(1).sum(1)
    reachable = (f + (weight * (expected - point)).flatten(1).sum(1)).abs() < 1e-5
    assert 5 < reachable.sum() < 20
    assert left[reachable].abs().max() < 1e-4
    assert (found[~reachable].frac() == 0).all()  # a corner, as near to the plane as the cube goes


@NORMS
def test_no_point_of_plane_and_cube_is_nearer(norm):
    point, weight, f = planes(1, seed=4)
    f = f.sign()
    found = boundaries.project_onto_plane(point, weight, f, norm)
    others = torch.rand(4000, 2, 3, 4, generator=torch.Generator().manual_seed(5))
    shift = (f + (weight * (others - point)).flatten(1).sum(1)) / weight.square().sum()
    others = others - shift[:, None, None, None] * weight
    others = others[((others >= 0) & (others <= 1)).flatten(1).all(1)]
    assert len(others) > 50
    assert norms(others - point, norm).min() >= norms(found - point, norm) - 1e-5


@NORMS
def test_the_projection_is_exact_where_many_pixels_stop_at_different_lengths(norm):
    """Images of usual size, half of the pixels near 0 or 1, weights over eight decades."""
    generator = torch.Generator().manual_seed(3)
    point = (2 * torch.rand(16, 3, 32, 32, generator=generator) - 0.5).clamp(0, 1)
    weight = torch.randn(point.shape, generator=generator) * 10 ** (-8 * torch.rand(point.shape, generator=generator))
    f = torch.logspace(-4, 1.5, 16)
    found = boundaries.project_onto_plane(point, weight, f, norm)
    expected = by_bisection(point, weight, f, norm)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    assert 0.2 < ((found == 0) | (found == 1))[-1].float().mean() < 0.9


def test_the_nearest_of_all_boundaries_is_measured_in_the_dual_norm():
    """Class 1 is behind one pixel of weight 4, class 2 behind 432 of weight 1: l2 distances 2/4 and 2/sqrt(432)."""
    x = torch.full((1, *SHAPE), 0.5)

    def three(x):
        one, all_ = 4 * (x[:, 0, 0, 0] - 0.5) - 2, (x - 0.5).flatten(1).sum(1) - 2
        return torch.stack([torch.zeros_like(one), one, all_], 1)

    model = CountingModel(three, x, torch.tensor([0]), 3)
    for norm in ("linf", "l2"):
        logits, f, weight = boundaries.nearest(model, x, torch.tensor([0]), norm, None)
        assert f.tolist() == [-2] and weight.sum() == 432 and logits.shape == (1, 3)
    _, f, weight = boundaries.towards(model, x, torch.tensor([0]), torch.tensor([1]))
    assert f.tolist() == [-2] and weight.sum() == 4
