"""AutoAttack: as strong as each of its members, which attack only what those before them left."""

import pytest
import torch
from attack_cases import exact, settings_of

from spectroscope.attacks import apgd, autoattack, fab, runner, square
from spectroscope.attacks.counting_model import ENSEMBLE_MEMBERS


@pytest.mark.parametrize(("case", "norm"), [("autoattack-linf", "linf"), ("autoattack-l2", "l2")])
def test_the_ensemble_is_at_least_as_strong_as_each_of_its_members(case, norm, model, data):
    name, eps = ("eps_255", 5) if norm == "linf" else ("eps", 0.25)
    ensemble = runner.run(settings_of(case, **{name: eps}), model, *data, seed=3)
    members = {
        "apgd_ce": settings_of(f"apgd-{norm}", **{name: eps}, loss="cross_entropy"),
        "apgd_t": settings_of(f"apgd-{norm}", **{name: eps}, loss="targeted_dlr", n_targets=3),
        "square": settings_of(f"square-{norm}", **{name: eps}, first_share=0.8, max_queries=50),
    }
    for member, settings in members.items():
        outcome = runner.run(settings, model, *data, seed=3)
        assert not (outcome.success & ~ensemble.success).any() or member == "square", member
        assert outcome.success.sum() <= ensemble.success.sum(), member
    fab = runner.run(settings_of(f"fab-{norm}", n_targets=3), model, *data, seed=3)
    reach = (fab.linf * 255 if norm == "linf" else fab.l2)[fab.success] <= eps
    assert reach.sum() <= ensemble.success.sum()
    assert 0 < ensemble.success.sum() < (ensemble.before == data[1]).sum()


def test_later_members_attack_only_the_images_that_earlier_ones_left(model, data):
    outcome = runner.run(settings_of("autoattack-linf", eps_255=5), model, *data, seed=3)
    easy = outcome.queries[outcome.success]
    assert easy.min() <= 22  # the clean image and at most one run of APGD
    resisted = ~outcome.success & (outcome.before == data[1])
    assert (outcome.queries[resisted] == 1 + 4 * 21 + (3 * 2 * 10 + 5) + 50).all()  # FAB makes two queries in a step


@pytest.mark.parametrize(("n_classes", "n_targets"), [(4, 3), (10, 9), (12, 9)])
def test_autoattack_is_the_ensemble_at_its_standard_settings(n_classes, n_targets, monkeypatch):
    calls = {}

    def record(name, *places):
        def member(model, x, *given):
            calls[name] = [given[place].shape[1] if place == 0 else given[place] for place in places]
            return x

        return member

    monkeypatch.setattr(apgd, "climb", record("apgd_ce", 2))
    monkeypatch.setattr(apgd, "climb_towards_targets", record("apgd_t", 0, 2))
    monkeypatch.setattr(fab, "search", record("fab_t", 0, 2))
    monkeypatch.setattr(square, "search", record("square", 1, 2))
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def scores(z):
        return torch.cat([exact(z), torch.full((len(z), n_classes - 4), -99.0)], 1)

    runner.run(settings_of("autoattack"), scores, x, scores(x).argmax(1), seed=0)
    expected = {"apgd_ce": [100], "apgd_t": [n_targets, 100], "fab_t": [n_targets, 100], "square": [0.8, 5000]}
    assert calls == expected


@pytest.mark.parametrize("key", autoattack.Effort._fields)
def test_the_settings_of_autoattack_are_not_for_choice(key):
    with pytest.raises(ValueError, match=rf"attacks\.autoattack\.{key}: unknown setting"):
        settings_of("autoattack", **{key: 5})


def test_too_few_classes_are_refused(model, data):
    with pytest.raises(ValueError, match="expected n_targets <= 3 for 4 classes, got 9"):
        runner.run(settings_of("autoattack-linf", n_targets=9), model, *data, seed=0)
    right = model(data[0])[:, :3].argmax(1) == data[1]
    few = data[0][right], data[1][right]
    with pytest.raises(ValueError, match="expected at least 4 classes for the loss targeted_dlr, got 3"):
        runner.run(settings_of("autoattack-linf", n_targets=2), lambda x: model(x)[:, :3], *few, seed=0)


MEMBER_FUNCTIONS = ((apgd, "climb"), (apgd, "climb_towards_targets"), (fab, "search"), (square, "search"))


@pytest.mark.parametrize("working", range(len(ENSEMBLE_MEMBERS)), ids=ENSEMBLE_MEMBERS)
def test_the_member_of_the_ensemble_that_fooled_is_named(model, data, monkeypatch, working):
    """In a ball so large that any member does it, the other members standing still."""

    def stand_still_once(module, name):
        """Once, because `apgd_t` calls `climb` too."""
        rest = iter((lambda model, x, *_: x, *[getattr(module, name)] * 99))
        monkeypatch.setattr(module, name, lambda *given: next(rest)(*given))

    for index, (module, name) in enumerate(MEMBER_FUNCTIONS):
        if index != working:
            stand_still_once(module, name)
    table = runner.run(settings_of("autoattack-linf", eps_255=60), model, *data, seed=0).table()
    assert table["success"].sum() > 15
    assert set(table.loc[table["success"], "part"]) == {ENSEMBLE_MEMBERS[working]}
    assert set(table.loc[~table["success"], "part"]) <= {""}
