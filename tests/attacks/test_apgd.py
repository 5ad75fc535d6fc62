"""Auto-PGD and AutoAttack: the schedule of the paper, and parts that stop where an image is fooled."""

import pytest
import torch
from attack_cases import settings_of

from spectroscope.attacks import apgd, suite


def test_checkpoints_are_those_of_the_paper():
    """p = 0, .22, .41, .57, .70, .80, .87, .93, .99 (Croce & Hein 2020, section 3.1)."""
    assert sorted(apgd._checkpoints(100))[:-1] == [22, 41, 57, 70, 80, 87, 93, 99]


def climb(rises, halved, best, checked, since):
    """One image at `now` = 1 whose best point is 5, at a checkpoint."""
    point = torch.ones(1, 1, 1, 1)
    number = torch.tensor
    return apgd._adapt(
        apgd._Climb(
            *(number([0]), 0 * point, point, point, point, number([1.0]), 5 * point, 7 * point, number([best])),
            step=number([0.4]),
            rises=number([float(rises)]),
            checked_value=number([checked]),
            halved=number([halved]),
        ),
        since,
    )


@pytest.mark.parametrize(
    ("rises", "halved", "best", "halves"),
    [
        (9, False, 2.0, False),  # rose often and the best value improved
        (7, False, 2.0, True),  # rose in less than 3 of 4 steps
        (9, False, 1.0, True),  # no better best value, and the step was not halved before
        (9, True, 1.0, False),
    ],
)
def test_the_step_is_halved_on_either_condition_and_the_walk_goes_on_from_the_best_point(rises, halved, best, halves):
    at = climb(rises, halved, best, checked=1.0, since=10)
    assert at.step.item() == pytest.approx(0.2 if halves else 0.4)
    assert at.now.item() == (5 if halves else 1) and at.gradient.item() == (7 if halves else 1)
    assert at.halved.item() == halves and at.rises.item() == 0 and at.checked_value.item() == best


def test_apgd_is_at_least_as_strong_as_pgd_of_as_many_steps(model, data):
    for eps in (4, 8, 12):
        plain = suite.run(settings_of("pgd-linf", eps_255=eps, step_255=eps / 4, steps=20), model, *data, seed=3)
        auto = suite.run(settings_of("apgd-linf", eps_255=eps), model, *data, seed=3)
        assert auto.success.sum() >= plain.success.sum()


def test_queries_are_one_and_the_steps_where_an_image_resists(outcomes, data):
    outcome = outcomes["apgd-linf"]
    resisted = ~outcome.success & (outcome.before == data[1])
    assert (outcome.queries[resisted] == 21).all() and resisted.any()
    assert outcome.queries[outcome.success].max() <= 21
    assert outcome.queries[outcome.success].float().mean() < 21


@pytest.mark.parametrize(("case", "norm"), [("autoattack-linf", "linf"), ("autoattack-l2", "l2")])
def test_the_ensemble_is_at_least_as_strong_as_each_of_its_parts(case, norm, model, data):
    name, eps = ("eps_255", 5) if norm == "linf" else ("eps", 0.25)
    ensemble = suite.run(settings_of(case, **{name: eps}), model, *data, seed=3)
    parts = {
        "apgd_ce": settings_of(f"apgd-{norm}", **{name: eps}, loss="cross_entropy"),
        "apgd_t": settings_of(f"apgd-{norm}", **{name: eps}, loss="targeted_dlr", n_targets=3),
        "square": settings_of(f"square-{norm}", **{name: eps}, first_share=0.8, max_queries=50),
    }
    for part, settings in parts.items():
        outcome = suite.run(settings, model, *data, seed=3)
        assert not (outcome.success & ~ensemble.success).any() or part == "square", part
        assert outcome.success.sum() <= ensemble.success.sum(), part
    fab = suite.run(settings_of(f"fab-{norm}", n_targets=3), model, *data, seed=3)
    reach = (fab.linf * 255 if norm == "linf" else fab.l2)[fab.success] <= eps
    assert reach.sum() <= ensemble.success.sum()
    assert 0 < ensemble.success.sum() < (ensemble.before == data[1]).sum()


def test_later_parts_ask_only_about_images_that_earlier_ones_left(model, data):
    outcome = suite.run(settings_of("autoattack-linf", eps_255=5), model, *data, seed=3)
    easy = outcome.queries[outcome.success]
    assert easy.min() <= 22  # the look at the clean image and at most one run of APGD
    resisted = ~outcome.success & (outcome.before == data[1])
    assert (outcome.queries[resisted] == 1 + 4 * 21 + (3 * 2 * 10 + 5) + 50).all()  # FAB asks twice in a step


def test_bad_settings_of_the_yardstick_are_refused(model, data):
    with pytest.raises(ValueError, match="expected n_targets with the loss targeted_dlr and null else, got 3 and dlr"):
        settings_of("apgd-l2", n_targets=3)
    with pytest.raises(ValueError, match="expected target null where loss is targeted_dlr, got runner_up"):
        settings_of("apgd-t", target="runner_up")
    with pytest.raises(ValueError, match="expected n_targets <= 3 for 4 classes, got 9"):
        suite.run(settings_of("autoattack-linf", n_targets=9), model, *data, seed=0)
    with pytest.raises(ValueError, match="expected at least 4 classes for the loss targeted_dlr, got 3"):
        suite.run(settings_of("autoattack-linf", n_targets=2), lambda x: model(x)[:, :3], *few(model, data), seed=0)


def few(model, data):
    right = model(data[0])[:, :3].argmax(1) == data[1]
    return data[0][right], data[1][right]
