"""Attacks do not get weaker with size, steps or queries, nor by how a network scales its logits."""

import pytest
import torch
from attack_cases import EVERY, settings_of

from spectroscope.attacks import runner


@EVERY
def test_a_network_that_is_very_sure_and_whose_logits_are_all_negative_is_still_fooled(case, model, few, few_outcomes):
    """Its softmax saturates in float32: gradients of the loss nearly vanish and probabilities stop changing.

    And a margin that sets the label's logit to 0 among negative ones would always be lost (pitfall 35).
    """
    outcome = runner.run(settings_of(case), lambda x: 8 * model(x) - 150, *few, seed=3)
    assert outcome.success.any() and outcome.success.sum() >= few_outcomes[case].success.sum() - 1


def test_pgd_fools_at_least_as_many_as_fgsm(outcomes):
    assert outcomes["pgd-linf"].success.sum() >= outcomes["fgsm"].success.sum()


@pytest.mark.parametrize(
    ("case", "name", "low", "high"),
    [
        ("fgsm", "eps_255", 1, 12),
        ("pgd-linf", "eps_255", 1, 24),
        ("pgd-linf", "steps", 1, 10),
        ("pgd-l2", "eps", 0.1, 2.0),
        ("pgd-l2", "steps", 1, 10),
        ("pgd-l1", "eps", 1, 30),
        ("cw", "eps", 0.1, None),
        ("apgd-linf", "eps_255", 1, 24),
        ("apgd-l2", "eps", 0.1, 2.0),
        ("apgd-t", "steps", 1, 20),
        ("autoattack-linf", "eps_255", 1, 12),
        ("autoattack-l2", "eps", 0.1, 1.0),
        ("square-linf", "eps_255", 2, 24),
        ("square-linf", "max_queries", 1, 150),
        ("square-l2", "eps", 0.3, 2.0),
        ("square-l2", "max_queries", 1, 150),
        ("simba-pixel", "eps_255", 5, 51),
        ("simba-pixel", "max_queries", 1, 150),
        ("simba-dct", "max_queries", 1, 150),
        ("simba-random", "max_queries", 1, 150),
        ("nes-linf", "eps_255", 2, 32),
        ("nes-l2", "max_queries", 2, 130),
        ("spsa-linf", "max_queries", 2, 130),
        ("spsa-l2", "eps", 0.2, 4.0),
        ("hop-skip-jump-l2", "eps", 0.5, 6.0),
        ("hop-skip-jump-linf", "max_queries", 1, 150),
        ("confined-l2", "eps", 0.2, 4.0),
        ("confined-linf", "steps", 1, 6),
        ("fourier", "eps_255", 10, 120),
        ("noise-l2", "eps", 1.0, 7.0),
    ],
)
def test_success_does_not_fall_with_size_steps_or_queries(case, name, low, high, model, data, outcomes):
    """From the low value over that of the case to the high one."""
    x, labels = data[0][:24], data[1][:24]
    weak, strong = (runner.run(settings_of(case, **{name: value}), model, x, labels, seed=3) for value in (low, high))
    rates = [int(weak.success.sum()), int(outcomes[case].success[:24].sum()), int(strong.success.sum())]
    assert rates == sorted(rates) and rates[0] < rates[-1]


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("pgd-linf", {"eps_255": 255, "step_255": 20, "steps": 30}),
        ("pgd-l2", {"eps": 40, "step_size": 2, "steps": 30}),
        ("pgd-l1", {"eps": 400, "step_size": 20, "steps": 40}),
        ("cw", {"search_steps": 4, "steps": 60}),
        ("ddn", {"steps": 100}),
        ("fmn-linf", {}),
        ("fmn-l2", {}),
        ("fab-linf", {"steps": 30}),
        ("fab-l2", {"n_targets": 3, "steps": 30}),
        ("deepfool", {"steps": 50}),
        ("apgd-linf", {"eps_255": 255}),
        ("apgd-l2", {"eps": 40}),
        ("apgd-t", {"eps_255": 255}),
        ("autoattack-linf", {"eps_255": 255}),
        ("square-linf", {"eps_255": 255, "max_queries": 500}),
        ("square-l2", {"eps": 20, "max_queries": 500}),
        ("simba-dct", {"max_queries": 4000, "freq_dims": None, "step_size": 0.5}),
        ("simba-random", {"max_queries": 4000}),
        ("nes-linf", {"eps_255": 255, "step_255": 20, "max_queries": 1000}),
        ("nes-l2", {"eps": 40, "step_size": 2, "max_queries": 1000}),
        ("spsa-linf", {"eps_255": 255, "step_255": 20, "max_queries": 1000}),
        ("spsa-l2", {"eps": 40, "step_size": 0.1, "max_queries": 1000}),
        ("hop-skip-jump-l2", {"eps": None}),
        ("hop-skip-jump-linf", {"eps_255": None}),
        ("confined-l2", {"eps": 40, "step_size": 2, "steps": 30}),
        ("confined-linf", {"eps_255": 255, "step_255": 20, "steps": 30}),
    ],
)
def test_an_attack_without_bounds_reaches_everything(case, changes, model, data):
    x, labels = data[0][:24], data[1][:24]
    outcome = runner.run(settings_of(case, **changes), model, x, labels, seed=3)
    assert torch.equal(outcome.success, outcome.before == labels)
