"""CW: the nearest adversary, pixels that start at black or white, projection onto a radius."""

import pytest
import torch
from attack_cases import SHAPE, linear, settings_of

from spectroscope.attacks import runner
from spectroscope.pipeline import io


def test_cw_finds_the_nearest_point_across_a_plane():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=150)
    outcome = runner.run(settings, linear, x, torch.tensor([0]), seed=0)
    slope = torch.linspace(-1, 1, 12).expand(SHAPE)
    distance = 5 / slope.norm()
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.03 * distance
    torch.testing.assert_close(outcome.perturbation[0], -distance * slope / slope.norm(), rtol=0, atol=0.02)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_cw_moves_pixels_off_exactly_black_and_white(value):
    x = torch.full((1, *SHAPE), value)
    sign = 1 if value else -1

    def plane(x):
        score = sign * (x.sum((1, 2, 3)) - value * 432 + sign * 10)
        return torch.stack([score, -score], 1)

    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=50)
    outcome = runner.run(settings, plane, x, torch.tensor([0]), seed=0)
    distance = 10 / 432**0.5
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.05 * distance
    assert outcome.perturbation.abs().min() > 0


def test_cw_projected_onto_a_ball_is_tested_again(model, data, outcomes):
    free = outcomes["cw"]
    middle = float(free.l2[free.success].median())
    confined = runner.run(settings_of("cw", eps=middle), model, *data, seed=3)
    assert 0 < confined.success.sum() < free.success.sum()
    assert confined.l2.max() <= middle + 1e-6
    assert torch.equal(confined.success & ~free.success, torch.zeros_like(free.success))


def test_cw_s_perturbations_are_below_half_a_grey_level_in_most_pixels_and_survive_storage(outcomes, tmp_path):
    change = outcomes["cw"].perturbation
    io.write_arrays(tmp_path / "p.parquet", change, outcomes["cw"].table())
    small = (change != 0) & (change.abs() < 0.5 / 255)
    assert small.float().mean() > 0.1
    assert torch.equal(io.read_arrays(tmp_path / "p.parquet")[0][small], change[small])


def test_cw_makes_a_query_for_each_step_of_each_search(outcomes, data):
    attacked = outcomes["cw"].before == data[1]
    assert (outcomes["cw"].queries[attacked] == 3 * 30).all() and not outcomes["cw"].queries[~attacked].any()
