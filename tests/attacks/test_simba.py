"""SimBA: its steps, its bases, its queries, and a loop over single images written after the paper."""

import numpy as np
import pytest
import scipy.fft
import torch
from attack_cases import (
    SCORE_SEARCHES,
    SHAPE,
    linear,
    settings_of,
    textbook_data,
    textbook_fooled,
    textbook_log_odds,
    textbook_model,
)

from spectroscope.attacks import runner
from spectroscope.attacks.simba import _basis
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import machine

TEXTBOOK = {"method": "simba", "target": None, "basis": "dct", "freq_dims": None, "eps_255": None}
TEXTBOOK |= {"step_size": 0.3, "max_queries": 20}


@pytest.mark.parametrize("case", SCORE_SEARCHES)
@pytest.mark.parametrize("budget", [1, 2, 40])
def test_a_search_by_single_queries_keeps_to_its_budget_and_takes_no_gradient(case, budget, model, data):
    sizes = []

    def counting(x):
        assert not torch.is_grad_enabled() and not x.requires_grad
        sizes.append(len(x))
        return model(x)

    outcome = runner.run(settings_of(case, max_queries=budget), counting, *data, seed=0)
    attacked = outcome.before == data[1]
    assert outcome.queries.max() <= budget
    assert (outcome.queries[attacked & ~outcome.success] == budget).all()
    assert sum(sizes) == outcome.queries.sum() + len(data[0]) + attacked.sum()  # and one before, one that verifies


def test_simba_stops_querying_an_image_that_textbook_fooled(outcomes):
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
    outcome = runner.run(settings, lambda x: linear(x) - torch.tensor([4.9, -4.9]), x, torch.tensor([0]), seed=1)
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

    outcome = runner.run(settings, dark, x, torch.tensor([0]), seed=1)
    assert outcome.success.all() and outcome.queries.tolist() == [7]
    torch.testing.assert_close(outcome.perturbation, torch.full_like(x, -0.6 / 12), rtol=0, atol=1e-6)


def test_simba_changes_single_pixels(outcomes):
    outcome = outcomes["simba-pixel"]
    changed = (outcome.perturbation != 0).flatten(1).sum(1)
    assert (changed[outcome.success] < outcome.queries[outcome.success]).all()


def test_simba_walks_its_order_again_when_the_directions_are_used_up():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("simba-dct", freq_dims=2, step_size=0.1, max_queries=150)
    outcome = runner.run(settings, linear, x, torch.tensor([0]), seed=1)
    assert outcome.success.all()
    assert dct2(outcome.perturbation).abs().max() > 0.15  # more than one step along a direction


def test_too_many_freq_dims_are_refused(model, data):
    with pytest.raises(ValueError, match="expected freq_dims <= 12 for 12 x 12 images, got 13"):
        runner.run(settings_of("simba-dct", freq_dims=13), model, *data, seed=0)


def walked(settings, x, label, generator):
    """One image, one direction after the other (Guo et al. 2019, Algorithm 1)."""
    channels, height, width = x.shape
    rows, columns = (settings.freq_dims or height), (settings.freq_dims or width)
    order = torch.randperm(channels * rows * columns, generator=generator)[: settings.max_queries].tolist()
    if settings.basis == "random":
        vertical, horizontal = (_basis("random", size, generator).double() for size in (height, width))
    z, best, spent = x.clone(), textbook_log_odds(x, label), 1
    for index in order * 10:
        channel, row, column = np.unravel_index(index, (channels, rows, columns))
        unit = torch.zeros(height, width, dtype=torch.float64)
        unit[row, column] = 1
        if settings.basis == "dct":
            unit = torch.from_numpy(scipy.fft.idctn(unit.numpy(), norm="ortho"))
        if settings.basis == "random":
            unit = torch.outer(vertical[row], horizontal[column])
        for sign in (1, -1):
            if spent == settings.max_queries:
                return z, spent
            tried = z.clone()
            tried[channel] += (sign * settings.step_size * unit).float()
            tried, spent = tried.clamp(0, 1), spent + 1
            if textbook_fooled(tried, label):
                return tried, spent
            if textbook_log_odds(tried, label) < best:
                z, best = tried, textbook_log_odds(tried, label)
                break
    return z, spent


@pytest.mark.parametrize("changes", [{"basis": "pixel"}, {}, {"freq_dims": 4}, {"basis": "random"}])
def test_simba_takes_the_steps_of_a_textbook_loop(changes):
    x, labels = textbook_data()
    settings = settings_of(TEXTBOOK, **changes)
    outcome = runner.run(settings, textbook_model, x, labels, seed=3)
    assert 0 < outcome.success.sum() < len(x)
    for row in range(len(x)):
        expected, spent = walked(settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row]
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=2e-6)


def test_the_random_basis_is_orthonormal_of_each_generator_s_own_and_white():
    bases = torch.stack([_basis("random", 8, machine.generator(0, row)) for row in range(400)])
    torch.testing.assert_close(bases @ bases.mT, torch.eye(8).expand(400, 8, 8), rtol=0, atol=1e-5)
    power = torch.from_numpy(scipy.fft.dct(bases.numpy(), norm="ortho")).square()
    torch.testing.assert_close(power.mean((0, 1)), torch.full((8,), 1 / 8), rtol=0.1, atol=0)
    torch.testing.assert_close(power[:, 0].mean(0), torch.full((8,), 1 / 8), rtol=0.3, atol=0)
    assert bases[:, 0, 0].mean().abs() < 0.06  # either sign: QR alone prefers one


def test_simba_keeps_a_step_that_fools_though_the_label_grows_likelier():
    def odd(x):
        moved = ((x - 0.5).flatten(1).abs().sum(1) > 1e-3)[:, None]
        return torch.where(moved, torch.tensor([1.0, 1.1, -5, -5]), torch.tensor([1.0, 0.9, 0.9, 0.9]))

    outcome = runner.run(settings_of(TEXTBOOK), odd, torch.full((2, *SHAPE), 0.5), torch.tensor([0, 0]), seed=0)
    assert outcome.success.all() and outcome.queries.tolist() == [2, 2]
