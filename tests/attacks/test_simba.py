"""SimBA: its steps, its bases, its queries."""

import pytest
import torch
from attack_cases import ONE_BY_ONE, SHAPE, linear, settings_of

from spectroscope.attacks import suite
from spectroscope.frequency.spectrum import dct2


@pytest.mark.parametrize("case", ONE_BY_ONE)
@pytest.mark.parametrize("budget", [1, 2, 40])
def test_a_search_by_single_queries_keeps_to_its_budget_and_takes_no_gradient(case, budget, model, data):
    seen = []

    def counting(x):
        assert not torch.is_grad_enabled() and not x.requires_grad
        seen.append(len(x))
        return model(x)

    outcome = suite.run(settings_of(case, max_queries=budget), counting, *data, seed=0)
    attacked = outcome.before == data[1]
    assert outcome.queries.max() <= budget
    assert (outcome.queries[attacked & ~outcome.success] == budget).all()
    assert sum(seen) == outcome.queries.sum() + len(data[0]) + attacked.sum()  # and one before, one that verifies


def test_simba_stops_asking_about_an_image_that_is_fooled(outcomes):
    outcome = outcomes["simba-dct"]
    assert outcome.queries[outcome.success].max() < 150
    assert len(set(outcome.queries[outcome.success].tolist())) > 5


def test_simba_steps_along_single_low_dct_coefficients(outcomes):
    coefficients = dct2(outcomes["simba-dct"].perturbation[outcomes["simba-dct"].success].double())
    inside = coefficients.abs().amax((1, 2, 3)) > 0
    assert inside.all()
    high = coefficients.clone()
    high[..., :6, :6] = 0
    assert high.pow(2).sum() < 0.1 * coefficients.pow(2).sum()  # only what the clip to [0, 1] spills


def test_simba_on_an_unclipped_image_moves_by_whole_steps_in_the_low_square():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("simba-dct", step_size=0.05, max_queries=60)
    outcome = suite.run(settings, lambda x: linear(x) - torch.tensor([4.9, -4.9]), x, torch.tensor([0]), seed=1)
    assert outcome.success.all()
    steps = dct2(outcome.perturbation.double()) / 0.05
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert steps.abs().round().max() == 1 and not steps[..., 6:, :].round().any()


def test_simba_tries_minus_where_plus_does_not_help():
    """Only darker channels help here: one query before, then two for each of the three means."""
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("simba-dct", freq_dims=1, step_size=0.6, max_queries=50)

    def dark(x):
        score = x.mean((1, 2, 3)) - 0.5 + 0.04
        return torch.stack([score, -score], 1)

    outcome = suite.run(settings, dark, x, torch.tensor([0]), seed=1)
    assert outcome.success.all() and outcome.queries.tolist() == [7]
    torch.testing.assert_close(outcome.perturbation, torch.full_like(x, -0.6 / 12), rtol=0, atol=1e-6)


def test_simba_changes_single_pixels(outcomes):
    outcome = outcomes["simba-pixel"]
    changed = (outcome.perturbation != 0).flatten(1).sum(1)
    assert (changed[outcome.success] < outcome.queries[outcome.success]).all()


def test_simba_walks_its_order_again_when_the_directions_are_used_up():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("simba-dct", freq_dims=2, step_size=0.1, max_queries=150)
    outcome = suite.run(settings, linear, x, torch.tensor([0]), seed=1)
    assert outcome.success.all()
    assert dct2(outcome.perturbation).abs().max() > 0.15  # more than one step along a direction


def test_too_many_freq_dims_are_refused(model, data):
    with pytest.raises(ValueError, match="expected freq_dims <= 12 for 12 x 12 images, got 13"):
        suite.run(settings_of("simba-dct", freq_dims=13), model, *data, seed=0)
    with pytest.raises(ValueError, match=r"attacks\.simba-pixel: .*expected freq_dims null where basis is pixel"):
        settings_of("simba-pixel", freq_dims=3)
