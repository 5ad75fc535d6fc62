"""Attacks do not get weaker with size, steps or queries, nor by how a network puts its logits."""

import numpy as np
import pytest
import torch
from attack_cases import CASES, EVERY, settings_of

from spectroscope.attacks import apgd, fab, square, suite
from spectroscope.attacks.counting_model import PARTS


@EVERY
def test_normalisation_inside_or_outside_the_model_gives_the_same_adversaries(case, model, data, outcomes):
    outside = suite.run(settings_of(case), lambda x: model[1:]((x - 0.5) / 0.25), *data, seed=3)
    torch.testing.assert_close(outside.perturbation, outcomes[case].perturbation, rtol=0, atol=0)


@EVERY
def test_logits_shifted_far_below_zero_give_as_strong_an_attack(case, model, data, outcomes):
    """A margin that lets the label's zeroed logit win among negative ones is always lost (pitfall 35)."""
    shifted = suite.run(settings_of(case), lambda x: model(x) - 50, *data, seed=3)
    assert torch.equal(shifted.success, outcomes[case].success)
    np.testing.assert_allclose(shifted.l2.mean(), outcomes[case].l2.mean(), rtol=0.02)


def test_pgd_fools_at_least_as_many_as_fgsm(outcomes):
    assert outcomes["pgd-linf"].success.sum() >= outcomes["fgsm"].success.sum()


@pytest.mark.parametrize(
    ("case", "name", "values"),
    [
        ("fgsm", "eps_255", [1, 4, 12]),
        ("pgd-linf", "eps_255", [1, 4, 12, 24]),
        ("pgd-linf", "steps", [1, 3, 10]),
        ("pgd-l2", "eps", [0.1, 0.4, 1.0, 2.0]),
        ("pgd-l2", "steps", [1, 3, 10]),
        ("pgd-l1", "eps", [1, 4, 12, 30]),
        ("cw", "eps", [0.1, 0.4, 1.0, 3.0]),
        ("apgd-linf", "eps_255", [1, 4, 12, 24]),
        ("apgd-l2", "eps", [0.1, 0.4, 1.0, 2.0]),
        ("apgd-t", "steps", [1, 5, 20]),
        ("autoattack-linf", "eps_255", [1, 4, 12]),
        ("autoattack-l2", "eps", [0.1, 0.4, 1.0]),
        ("square-linf", "eps_255", [2, 8, 24]),
        ("square-linf", "max_queries", [1, 30, 150]),
        ("square-l2", "eps", [0.3, 1.0, 2.0]),
        ("square-l2", "max_queries", [1, 30, 150]),
        ("simba-pixel", "eps_255", [5, 25, 51]),
        ("simba-pixel", "max_queries", [1, 30, 150]),
        ("simba-dct", "max_queries", [1, 30, 150]),
        ("simba-random", "max_queries", [1, 30, 150]),
        ("nes-linf", "eps_255", [2, 8, 32]),
        ("nes-l2", "max_queries", [2, 44, 130]),
        ("spsa-linf", "max_queries", [2, 44, 130]),
        ("spsa-l2", "eps", [0.2, 1.0, 4.0]),
        ("hop-skip-jump-l2", "eps", [0.5, 2.0, 6.0]),
        ("hop-skip-jump-linf", "max_queries", [1, 40, 150]),
        ("confined-l2", "eps", [0.2, 1.0, 4.0]),
        ("confined-linf", "steps", [1, 3, 6]),
        ("fourier", "eps_255", [10, 60, 120]),
        ("noise-l2", "eps", [1.0, 4.0, 7.0]),
    ],
)
def test_success_does_not_fall_with_size_steps_or_queries(case, name, values, model, data):
    rates = [int(suite.run(settings_of(case, **{name: value}), model, *data, seed=3).success.sum()) for value in values]
    assert rates == sorted(rates) and rates[0] < rates[-1]


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("pgd-linf", {"eps_255": 255, "step_255": 20, "steps": 30}),
        ("pgd-l2", {"eps": 40, "step_size": 2, "steps": 30}),
        ("pgd-l1", {"eps": 400, "step_size": 20, "steps": 40}),
        ("cw", {"search_steps": 6, "steps": 100}),
        ("ddn", {"steps": 100}),
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
    outcome = suite.run(settings_of(case, **changes), model, *data, seed=3)
    assert torch.equal(outcome.success, outcome.before == data[1])


def test_a_network_that_is_very_sure_is_still_fooled(model, data, outcomes):
    """Its softmax saturates in float32: gradients of the loss nearly vanish and probabilities stop changing."""
    for case in CASES:
        sure = suite.run(settings_of(case), lambda x: 8 * model(x), *data, seed=3)
        assert sure.success.sum() >= 0.9 * outcomes[case].success.sum(), case


WORKERS = ((apgd, "climb"), (apgd, "towards_each"), (fab, "approach"), (square, "search"))  # in the order of PARTS


@pytest.mark.parametrize("working", range(len(PARTS)), ids=PARTS)
def test_the_part_of_the_ensemble_that_fooled_is_named(model, data, monkeypatch, working):
    """In a ball so large that any part does it, the other parts standing still."""

    def stand_still_once(module, name):
        """`apgd_t` climbs too."""
        rest = iter((lambda part, x, *_: x, *[getattr(module, name)] * 99))
        monkeypatch.setattr(module, name, lambda *given: next(rest)(*given))

    for place, (module, name) in enumerate(WORKERS):
        if place != working:
            stand_still_once(module, name)
    found = suite.run(settings_of("autoattack-linf", eps_255=60), model, *data, seed=0).table()
    assert found["success"].sum() > 20
    assert set(found.loc[found["success"], "part"]) == {PARTS[working]}
    assert set(found.loc[~found["success"], "part"]) <= {""}
