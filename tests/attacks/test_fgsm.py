"""FGSM on a linear model."""

import torch
from attack_cases import SHAPE, linear, settings_of

from spectroscope.attacks import runner


def test_fgsm_is_one_step_along_the_sign_on_a_linear_model():
    x = torch.full((2, *SHAPE), 0.5)
    outcome = runner.run(settings_of("fgsm", eps_255=51), linear, x, torch.tensor([0, 1]), seed=0)
    assert outcome.success.tolist() == [True, False]
    expected = -0.2 * torch.sign(torch.linspace(-1, 1, 12)).expand(SHAPE)
    torch.testing.assert_close(outcome.perturbation[0], expected, rtol=0, atol=1e-6)


def test_fgsm_makes_one_query(outcomes, data):
    attacked = outcomes["fgsm"].before == data[1]
    assert outcomes["fgsm"].queries.tolist() == attacked.long().tolist()
