"""Perturbations moved into band, ball and [0, 1] at once."""

import pytest
import torch
from band_cases import SHAPE, energy_outside, images, in_band, mask_of

from spectroscope.attacks import band_projection
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import band_filter


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_confining_keeps_what_already_has_its_place(norm):
    x = torch.full((3, *SHAPE), 0.5)
    settings = in_band("ring").bands["ring"]
    change = band_filter(0.05 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)), settings)
    moved, placed = band_projection.confine(
        change, x, Ball(norm, 5.0), band_projection.projection(settings, *SHAPE[1:])
    )
    assert placed.all()
    torch.testing.assert_close(moved, change, rtol=0, atol=1e-6)


def test_a_constant_has_no_place_on_an_image_with_black_and_white_pixels():
    x = torch.full((2, *SHAPE), 0.5)
    x[0, :, 0, 0], x[0, :, 1, 1] = 0, 1
    project = band_projection.projection(in_band("dc").bands["dc"], *SHAPE[1:])
    moved, placed = band_projection.confine(torch.full((2, *SHAPE), 0.1), x, Ball("l2", 9.0), project)
    assert placed.tolist() == [False, True] and not moved[0].any()
    torch.testing.assert_close(moved[1], torch.full(SHAPE, 0.1), rtol=0, atol=1e-6)


def test_a_perturbation_moved_into_place_is_in_band_ball_and_box():
    x = images()[0]
    change = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for norm, eps in (("l2", 2.0), ("linf", 0.05)):
        for name in ("low", "middle", "ring"):
            settings = in_band(name).bands[name]
            moved, placed = band_projection.confine(
                change, x, Ball(norm, eps), band_projection.projection(settings, *SHAPE[1:])
            )
            assert placed.sum() >= 9
            assert (energy_outside(moved[placed], name) <= 1e-4 + 1e-8).all()
            assert (x + moved).min() >= 0 and (x + moved).max() <= 1
            sizes = moved.flatten(1).norm(dim=1) if norm == "l2" else moved.flatten(1).abs().amax(1)
            assert sizes.max() <= eps + 1e-6 and sizes[placed].min() > 0.2 * eps


def test_the_lowest_coefficients_are_a_share_of_rows_and_of_columns():
    assert torch.equal(band_projection.lowest(0.4, *SHAPE[1:]), mask_of("lowest"))
    assert band_projection.lowest(1.0, *SHAPE[1:]).all()
