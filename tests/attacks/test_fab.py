"""FAB: the nearest adversary in l-inf, several targets, and a margin that rounding does not undo."""

import copy

import pytest
import torch
from attack_cases import SHAPE, linear, settings_of

from spectroscope.attacks import runner

SLOPE = torch.linspace(-1, 1, 12).expand(SHAPE)


@pytest.mark.parametrize("n_targets", [None, 1])
def test_the_nearest_point_across_a_plane_is_found_in_linf(n_targets):
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("fab-linf", n_targets=n_targets, steps=10)
    outcome = runner.run(settings, linear, x, torch.tensor([0]), seed=0)
    distance = 5 / SLOPE.abs().sum()
    assert outcome.success.all()
    assert 0.9999 * distance <= outcome.linf[0] <= 1.01 * distance


def test_fab_goes_through_its_targets_until_the_nearest_is_found(model, data):
    one, all_ = (runner.run(settings_of("fab-l2", n_targets=n, steps=10), model, *data, seed=0) for n in (1, 3))
    both = one.success & all_.success
    assert (all_.l2[both] <= one.l2[both] * 1.002).all() and (all_.l2[both] < 0.99 * one.l2[both]).any()


@pytest.mark.parametrize("case", ["fab-linf", "fab-l2"])
def test_rounding_does_not_undo_fab(case, model, data, outcomes):
    """Its last search leads to the boundary, where float32 ties are decided by the batch: in float64 all still fool."""
    x, labels = data
    outcome = outcomes[case]
    assert torch.equal(outcome.success, outcome.before == labels)
    logits = copy.deepcopy(model).double()((x + outcome.perturbation).double()[outcome.success])
    right = labels[outcome.success][:, None]
    margin = logits.scatter(1, right, -torch.inf).amax(1) - logits.gather(1, right)[:, 0]
    assert (margin > 5e-6 * (logits.amax(1) - logits.amin(1))).all()
