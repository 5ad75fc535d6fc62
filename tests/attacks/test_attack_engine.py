"""What holds around every attack: targets, several radii and variants, chunks that outlive a crash, queries."""

import pandas as pd
import pytest
import torch

from spectroscope.attacks import settings as declared
from spectroscope.attacks import suite
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings import AttackSettings, Ball, parts
from spectroscope.pipeline import params
from spectroscope.pipeline.checkpoint import Store

SHAPE = (3, 12, 12)
FGSM = {"method": "fgsm", "n_images": 12, "target": None, "eps_255": 40}
CW = {**FGSM, "method": "cw", "eps": None, "confidence": 0, "learning_rate": 0.05, "initial_const": 0.1}
CW |= {"search_steps": 3, "steps": 20}
del CW["eps_255"]
PGD = {**FGSM, "method": "pgd", "norm": "linf", "step_255": 10, "steps": 8, "random_start": True}
PGD |= {"direction": "sign", "momentum": 0, "stop_early": False}
PGD_L2 = {**PGD, "norm": "l2", "eps": 4.0, "step_size": 1.0, "direction": "l2"}
del PGD_L2["eps_255"], PGD_L2["step_255"]
SIMBA = {**FGSM, "method": "simba", "basis": "dct", "freq_dims": None, "step_size": 0.5, "max_queries": 300}
NES = {**FGSM, "method": "nes", "norm": "linf", "step_255": 10, "samples": 20, "radius": 0.01, "momentum": 0.5}
SPSA = {**FGSM, "method": "spsa", "norm": "linf", "step_255": 10, "samples": 20, "radius": 0.01, "max_queries": 300}
BANDS = {"half": {"keep": "lowest", "ratio": 0.75}}
CONFINED = {**PGD, "method": "confined", "bands": BANDS, "direction": "l2"}
del CONFINED["momentum"], CONFINED["stop_early"]
APGD = {**FGSM, "method": "apgd", "norm": "linf", "loss": "cross_entropy", "n_targets": None, "steps": 20}
DDN = {"method": "ddn", "n_images": 12, "target": None, "initial_norm": 1.0, "gamma": 0.1, "steps": 60}
DEEPFOOL = {"method": "deepfool", "n_images": 12, "target": None, "bands": None, "overshoot": 0.02, "steps": 40}
FAB = {"method": "fab", "n_images": 12, "target": None, "norm": "l2", "n_targets": None, "steps": 20}
SQUARE = {**FGSM, "method": "square", "norm": "linf", "first_share": 0.5, "max_queries": 300}
SQUARE_L2 = {**SQUARE, "norm": "l2", "eps": 8.0}
del SQUARE_L2["eps_255"]
TARGETED = {
    "pgd": PGD,
    "pgd-l2": PGD_L2,
    "cw": CW,
    "simba": {**SIMBA, "eps_255": None},
    "nes": {**NES, "max_queries": 300},
    "spsa": SPSA,
    "confined": CONFINED,
    "ddn": DDN,
    "fab": FAB,
    "fab-linf": {**FAB, "norm": "linf"},
    "deepfool": DEEPFOOL,
    "apgd": APGD,
    "apgd-dlr": {**APGD, "loss": "dlr"},
    "square": SQUARE,
    "square-l2": SQUARE_L2,
}


def settings_of(entry, **changes):
    return params.validate({**entry, **changes}, AttackSettings, "attacks.one")


def exact(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(4, *SHAPE, generator=generator)
    return torch.stack([torch.tanh((x * weight).flatten(1)).sum(1) for weight in weights], 1)


@pytest.fixture(scope="module")
def data():
    x = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0))
    return x, exact(x).argmax(1)


@pytest.mark.parametrize("case", TARGETED)
@pytest.mark.parametrize("choice", ["runner_up", "least_likely"])
def test_a_targeted_attack_reaches_the_class_it_aims_at(case, choice, data):
    x, labels = data
    outcome = suite.run(settings_of(TARGETED[case], target=choice), exact, x, labels, seed=0)
    order = exact(x).argsort(1, descending=True)
    assert torch.equal(outcome.target, order[:, 1] if choice == "runner_up" else order[:, 3])
    assert outcome.success.float().mean() > 0.6
    assert torch.equal(outcome.success, outcome.after == outcome.target)
    assert not outcome.perturbation[~outcome.success].any()


def test_targets_can_be_given_and_are_those_reached(data):
    x, labels = data
    targets = (labels + 1) % 4
    outcome = suite.run(settings_of(PGD), exact, x, labels, seed=0, batch_size=5, targets=targets)
    assert torch.equal(outcome.target, targets) and outcome.success.any()
    assert torch.equal(outcome.after[outcome.success], targets[outcome.success])


def test_a_wrong_class_that_is_not_the_target_is_no_success(data):
    x, labels = data
    untargeted = suite.run(settings_of(FGSM, eps_255=8), exact, x, labels, seed=0)
    aimed = suite.run(settings_of(FGSM, eps_255=8, target="least_likely"), exact, x, labels, seed=0)
    assert aimed.success.sum() < untargeted.success.sum()
    assert (untargeted.target == -1).all()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (lambda labels: labels, "expected targets other than the labels, got 12 equal ones"),
        (lambda labels: torch.where(torch.arange(12) == 3, labels, (labels + 1) % 4), "got 1 equal ones"),
        (lambda labels: labels + 4, "expected targets 0..3, got"),
        (lambda labels: labels[:3], "expected 12 integer targets"),
        (lambda labels: labels.float(), "expected 12 integer targets, got torch.float32"),
    ],
)
def test_bad_targets_are_refused(targets, message, data):
    with pytest.raises(ValueError, match=message):
        suite.run(settings_of(PGD), exact, *data, seed=0, targets=targets(data[1]))


def entry_of(*given, **more):
    """All chunks of an entry as one: perturbations, rows."""
    changes, tables = zip(*suite.run_entry(*given, **more), strict=True)
    return torch.cat(changes), pd.concat(tables, ignore_index=True)


def test_several_radii_give_the_rows_of_each_alone(data):
    for entry, key, radii in ((PGD, "eps_255", [20, 4, 0]), (PGD_L2, "eps", [2.0, 0.5])):
        change, table = entry_of(settings_of(entry, **{key: radii}), exact, *data, seed=3, batch_size=5)
        names = [f"{radius:g}/255" if key == "eps_255" else f"{radius:g}" for radius in radii]
        assert table["variant"].tolist() == [name for name in names for _ in range(12)]
        assert table["image"].tolist() == [*range(12)] * len(radii)
        for number, radius in enumerate(radii):
            alone = suite.run(settings_of(entry, **{key: radius}), exact, *data, seed=3)
            rows = slice(12 * number, 12 * number + 12)
            torch.testing.assert_close(change[rows], alone.perturbation, rtol=0, atol=1e-6)
            assert table["success"][rows].tolist() == alone.success.tolist()
            expected = radius / 255 if key == "eps_255" else radius
            assert table["eps"][rows].tolist() == [pytest.approx(expected)] * 12


def test_a_search_without_regard_to_the_radius_is_made_once_for_all_radii(data, monkeypatch):
    calls = []
    search = suite.ATTACKS["cw"]
    monkeypatch.setitem(suite.ATTACKS, "cw", lambda *given: calls.append(1) or search(*given))
    change, table = entry_of(settings_of(CW, eps=[0.3, 3.0]), exact, *data, seed=0)
    assert len(calls) == 1
    for number, eps in enumerate((0.3, 3.0)):
        alone = suite.run(settings_of(CW, eps=eps), exact, *data, seed=0)
        torch.testing.assert_close(change[12 * number : 12 * number + 12], alone.perturbation, rtol=0, atol=0)
        assert table["queries"][12 * number : 12 * number + 12].tolist() == alone.queries.tolist() == [60] * 12
    assert table["success"][:12].sum() < table["success"][12:].sum()


@pytest.mark.parametrize("given", [["dct", "pixel"], {"dct": 1, "pixel": 2}], ids=["list", "mapping"])
def test_variants_are_attacks_of_their_own(given, monkeypatch):
    monkeypatch.setitem(declared.VARIANTS, "simba", "basis")
    entry = settings_of(SIMBA, eps_255=[8, 16]).model_copy(update={"basis": given})
    found = [(name, [(each.basis, each.eps_255) for each in radii]) for name, radii in parts(entry)]
    single = [{"dct": 1}, {"pixel": 2}] if isinstance(given, dict) else [["dct"], ["pixel"]]
    assert found == [(name, [(one, 8), (one, 16)]) for name, one in zip(("dct", "pixel"), single, strict=True)]


def test_an_entry_with_several_radii_is_no_single_attack(data):
    with pytest.raises(ValueError, match="expected one variant and one radius, got several"):
        suite.run(settings_of(FGSM, eps_255=[1, 2]), exact, *data, seed=0)


@pytest.mark.parametrize("bad", [[], [1, -1], [1, "8/255"]])
def test_a_bad_list_of_radii_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"attacks\.one\.eps_255"):
        settings_of(FGSM, eps_255=bad)


class Fails:
    """A network that raises at a call."""

    def __init__(self, at):
        self.calls, self.at = 0, at

    def __call__(self, x):
        self.calls += 1
        if self.calls == self.at:
            raise ArithmeticError("no more")
        return exact(x)


def test_a_model_that_raises_leaves_finished_chunks_and_the_rest_follows(data, tmp_path):
    settings = settings_of(PGD, eps_255=[4, 20])
    whole = entry_of(settings, exact, *data, seed=3, batch_size=4)
    counting = Fails(at=0)
    entry_of(settings, counting, *data, seed=3, batch_size=4)
    broken = Fails(at=counting.calls // 2)
    store = Store(tmp_path, {})
    with pytest.raises(ArithmeticError):
        entry_of(settings, broken, *data, seed=3, batch_size=4, store=store)
    assert [file.stem for file in tmp_path.iterdir()] == ["seed3-variant0-images0-3"]
    rest = Fails(at=0)
    change, table = entry_of(settings, rest, *data, seed=3, batch_size=4, store=store)
    assert rest.calls == counting.calls * 2 // 3
    assert torch.equal(change, whole[0])
    assert table.equals(whole[1])


def test_queries_to_success_are_those_up_to_the_first_success(data):
    outcome = suite.run(settings_of(SIMBA, eps_255=None), exact, *data, seed=0)
    assert outcome.success.any()
    assert torch.equal(outcome.queries_to_success[outcome.success], outcome.queries[outcome.success])
    assert (outcome.queries_to_success[~outcome.success] == -1).all()
    slow = settings_of(PGD, step_255=0.5, steps=30, random_start=False)
    steps = suite.run(slow, exact, *data, seed=0)
    first = steps.queries_to_success[steps.success]
    assert (first >= 2).all() and (first < 30).all() and len(set(first.tolist())) > 3
    fewer = suite.run(slow.model_copy(update={"steps": int(first.median()) - 1}), exact, *data, seed=0)
    assert torch.equal(fewer.success, steps.success & (steps.queries_to_success <= first.median()))


def test_a_success_outside_the_ball_does_not_count():
    x = torch.full((2, *SHAPE), 0.5)
    predict = CountingModel(
        lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1),
        x,
        torch.zeros(2, dtype=torch.int64),
        2,
        ball=Ball("linf", 0.1),
    )
    predict(x - 0.05)
    predict(x + 0.3)
    assert predict.first.tolist() == [0, 0]
    predict(x[1:] + 0.1, torch.tensor([1]))
    assert predict.first.tolist() == [0, 3] and predict.count.tolist() == [2, 3]


def test_a_row_asked_twice_in_one_call_is_counted_twice_and_a_part_counts_in_the_whole():
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    predict = CountingModel(exact, x, exact(x).argmax(1), 4, targets=torch.tensor([0, 1, 2]))
    predict(x[[0, 0, 2]], torch.tensor([0, 0, 2]))
    assert predict.count.tolist() == [2, 0, 1]
    part = predict.only(torch.tensor([2, 1]))
    logits = part(x[[2]], torch.tensor([0]))
    assert predict.count.tolist() == [2, 0, 2] and part.count.tolist() == [2, 0]
    assert part.labels.tolist() == predict.labels[[2, 1]].tolist() and part.targets.tolist() == [2, 1]
    assert part.fooled(logits, torch.tensor([0])).tolist() == [int(logits.argmax()) == 2]
