"""Perturbations moved into band, ball and [0, 1] at once."""

from itertools import pairwise

import pytest
import torch
from band_cases import SHAPE, energy_outside, images, in_band, mask_of

from spectroscope.attacks import band_projection
from spectroscope.attacks.band_projection import MAX_CYCLES, MAX_LEAK, confine
from spectroscope.frequency.balls import Ball, norms
from spectroscope.frequency.passbands import band_filter


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_confining_keeps_what_already_has_its_place(norm):
    x = torch.full((3, *SHAPE), 0.5)
    settings = in_band("ring").bands["ring"]
    change = band_filter(0.05 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)), settings)
    project = band_projection.projection(settings, *SHAPE[1:])
    moved, placed = confine(change, x, Ball(norm, 5.0), project, MAX_CYCLES, MAX_LEAK)
    assert placed.all()
    torch.testing.assert_close(moved, change, rtol=0, atol=1e-6)


def test_a_constant_has_no_place_on_an_image_with_black_and_white_pixels():
    x = torch.full((2, *SHAPE), 0.5)
    x[0, :, 0, 0], x[0, :, 1, 1] = 0, 1
    project = band_projection.projection(in_band("dc").bands["dc"], *SHAPE[1:])
    moved, placed = confine(torch.full((2, *SHAPE), 0.1), x, Ball("l2", 9.0), project, MAX_CYCLES, MAX_LEAK)
    assert placed.tolist() == [False, True] and (x + moved).min() >= 0 and (x + moved).max() <= 1
    torch.testing.assert_close(moved[1], torch.full(SHAPE, 0.1), rtol=0, atol=1e-6)


def test_a_perturbation_moved_into_place_is_in_band_ball_and_box():
    x = images()[0]
    change = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for norm, eps in (("l2", 2.0), ("linf", 0.05)):
        for name in ("low", "middle", "ring"):
            settings = in_band(name).bands[name]
            project = band_projection.projection(settings, *SHAPE[1:])
            moved, placed = confine(change, x, Ball(norm, eps), project, MAX_CYCLES, MAX_LEAK)
            assert placed.sum() >= 9
            assert (energy_outside(moved[placed], name) <= 1e-4 + 1e-8).all()
            assert (x + moved).min() >= 0 and (x + moved).max() <= 1
            sizes = moved.flatten(1).norm(dim=1) if norm == "l2" else moved.flatten(1).abs().amax(1)
            assert sizes.max() <= eps + 1e-6 and sizes[placed].min() > 0.2 * eps


@pytest.mark.parametrize(("norm", "eps"), [("l2", 2.0), ("linf", 0.05)])
def test_more_cycles_leak_less_and_ball_and_box_hold_after_every_one(norm, eps):
    x, change = images()[0], torch.randn(10, *SHAPE, generator=torch.Generator().manual_seed(1))
    project = band_projection.projection(in_band("middle").bands["middle"], *SHAPE[1:])
    leaks = []
    for cycles in (1, 2, 4, 8):
        moved, placed = confine(change, x, Ball(norm, eps), project, cycles, max_leak=0.0)
        assert not placed.any()
        assert (x + moved).min() >= 0 and (x + moved).max() <= 1
        assert norms(moved, norm).max() <= eps + 1e-6
        leaks.append(energy_outside(moved, "middle"))
    assert all((less <= more + 1e-9).all() for more, less in pairwise(leaks))
    assert leaks[-1].max() < 0.5 * leaks[0].max()


def test_the_lowest_coefficients_are_a_share_of_rows_and_of_columns():
    assert torch.equal(band_projection.lowest(0.4, *SHAPE[1:]), mask_of("lowest"))
    assert band_projection.lowest(1.0, *SHAPE[1:]).all()
