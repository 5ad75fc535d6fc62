"""What holds around every attack: refused input, targets, several radii and variants, chunks that outlive a crash."""

import pandas as pd
import pytest
import torch
from attack_cases import DEEPFOOL, FAB, LOWEST, PGD, SHAPE, exact, settings_of
from torch import nn

from spectroscope.attacks import registry, runner
from spectroscope.pipeline.checkpoint import Store

LINF = {"norm": "linf", "eps_255": 40}
STEPS = {"step_255": 10, "steps": 8}
PGD_LINF, PGD_L2 = {**PGD, **LINF, **STEPS}, {**PGD, "norm": "l2", "eps": 4.0, "step_size": 1.0, "direction": "l2"}
PGD_L2["steps"] = 8
FGSM = {"method": "fgsm", "target": None, "eps_255": 40}
CW = {"method": "cw", "target": None, "eps": None, "confidence": 0, "learning_rate": 0.05, "initial_const": 0.1}
CW |= {"search_steps": 3, "steps": 20}
SIMBA = {"method": "simba", "target": None, "basis": "dct", "freq_dims": None, "eps_255": None, "step_size": 0.5}
PROBES = {"target": None, **LINF, "step_255": 10, "samples": 20, "radius": 0.01, "max_queries": 300}
CONFINED = {"method": "confined", "target": None, **LINF, **STEPS, "random_start": True, "direction": "l2"}
CONFINED |= {"coefficients": None}
APGD = {"method": "apgd", "target": None, **LINF, "n_targets": None, "steps": 20}
SQUARE = {"method": "square", "target": None, "first_share": 0.5, "max_queries": 300}
TARGETED = {
    "pgd": PGD_LINF,
    "pgd-l2": PGD_L2,
    "cw": CW,
    "simba": {**SIMBA, "max_queries": 300},
    "nes": {**PROBES, "method": "nes", "momentum": 0.5},
    "spsa": {**PROBES, "method": "spsa"},
    "confined": {**CONFINED, "bands": {"low": {**LOWEST, "ratio": 0.75}}},
    "ddn": {"method": "ddn", "target": None, "initial_norm": 1.0, "gamma": 0.1, "steps": 60},
    "fab": {**FAB, "norm": "l2", "n_targets": None, "steps": 20},
    "fab-linf": {**FAB, "norm": "linf", "n_targets": None, "steps": 20},
    "deepfool": {**DEEPFOOL, "bands": None, "steps": 40},
    "apgd": {**APGD, "loss": "cross_entropy"},
    "apgd-dlr": {**APGD, "loss": "dlr"},
    "square": {**SQUARE, **LINF},
    "square-l2": {**SQUARE, "norm": "l2", "eps": 8.0},
}


@pytest.fixture(scope="module")
def data():
    x = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0))
    return x, exact(x).argmax(1)


# ---- input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(0, *SHAPE)}, r"expected float32 images \(N >= 1, C, H, W\)"),
        ({"images": torch.zeros(4, *SHAPE, dtype=torch.uint8)}, "got torch.uint8"),
        ({"images": torch.zeros(4, 12, 12)}, r"got torch.float32 \(4, 12, 12\)"),
        ({"labels": torch.tensor([0, 1, 2, 4])}, "expected labels 0..3, got 0..4"),
        ({"labels": torch.tensor([0, 1, -1, 3])}, "expected labels 0..3, got -1..3"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "expected 4 integer labels"),
        ({"labels": torch.zeros(4)}, "expected 4 integer labels, got torch.float32"),
        ({"model": lambda x: x.flatten(1) * float("nan")}, "expected finite logits, got 1728 that are NaN"),
        ({"model": lambda x: x}, r"expected logits of shape \(4, classes >= 2\), got \(4, 3, 12, 12\)"),
        ({"model": lambda x: x[:2, 0, 0]}, r"expected logits of shape \(4, classes >= 2\), got \(2, 12\)"),
        ({"model": lambda x: x[:, 0, 0, :1]}, r"expected logits of shape \(4, classes >= 2\), got \(4, 1\)"),
    ],
)
def test_bad_input_is_refused(change, message, data):
    call = {"model": exact, "images": data[0][:4], "labels": data[1][:4], **change}
    with pytest.raises(ValueError, match=message):
        runner.run(settings_of(FGSM), seed=0, **call)


@pytest.mark.parametrize("value", [-1e-3, 1.001, float("nan")])
def test_an_image_outside_the_unit_cube_is_refused(value, data):
    x = data[0].clone()
    x[2, 1, 3, 3] = value
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got values"):
        runner.run(settings_of(FGSM), exact, x, data[1], seed=0)
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got values"):
        next(runner.run_entry(settings_of(FGSM), exact, x, data[1], seed=0))


def test_an_entry_with_several_radii_is_no_single_attack(data):
    with pytest.raises(ValueError, match="expected one variant and one radius, got several"):
        runner.run(settings_of(FGSM, eps_255=[1, 2]), exact, *data, seed=0)


def test_modes_are_restored_when_the_model_raises(data):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Dropout()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 2:
                raise ArithmeticError("no")
            return exact(x)

    broken = Broken().train()
    with pytest.raises(ArithmeticError):
        runner.run(settings_of(FGSM), broken, *data, seed=0)
    assert broken.training and broken.part.training and broken.calls == 2


# ---- what is verified


@pytest.mark.parametrize(
    ("entry", "norm"), [(FGSM, "linf"), (PGD_L2, "l2"), ({**PGD_L2, "norm": "l1"}, "l1"), ({**CW, "eps": 1}, "l2")]
)
def test_an_attack_that_leaves_its_bounds_is_an_error(entry, norm, data, monkeypatch):
    def attack_by(function):
        attack = registry.ATTACKS[entry["method"]]._replace(function=function, project=None)
        monkeypatch.setitem(registry.ATTACKS, entry["method"], attack)
        runner.run(settings_of(entry), exact, *data, seed=0)

    with pytest.raises(RuntimeError, match=r"expected adversaries in \[0, 1\], got values "):
        attack_by(lambda settings, model, x, generators: x + 1)
    with pytest.raises(RuntimeError, match=rf"expected perturbations of {norm} norm <= "):
        attack_by(lambda settings, model, x, generators: 1 - x)


def test_queries_to_success_are_those_up_to_the_first_success(data):
    outcome = runner.run(settings_of(SIMBA, max_queries=300), exact, *data, seed=0)
    assert outcome.success.any()
    assert torch.equal(outcome.queries_to_success[outcome.success], outcome.queries[outcome.success])
    assert (outcome.queries_to_success[~outcome.success] == -1).all()
    slow = settings_of(PGD_LINF, step_255=0.5, steps=30, random_start=False)
    steps = runner.run(slow, exact, *data, seed=0)
    first = steps.queries_to_success[steps.success]
    assert (first >= 2).all() and (first < 30).all() and len(set(first.tolist())) > 3
    fewer = runner.run(slow.model_copy(update={"steps": int(first.median()) - 1}), exact, *data, seed=0)
    assert torch.equal(fewer.success, steps.success & (steps.queries_to_success <= first.median()))


# ---- targets


@pytest.mark.parametrize(("case", "choice"), [("pgd", "runner_up"), *((case, "least_likely") for case in TARGETED)])
def test_a_targeted_attack_reaches_the_class_it_aims_at(case, choice, data):
    x, labels = data
    outcome = runner.run(settings_of(TARGETED[case], target=choice), exact, x, labels, seed=0)
    order = exact(x).argsort(1, descending=True)
    assert torch.equal(outcome.target, order[:, 1] if choice == "runner_up" else order[:, 3])
    assert outcome.success.float().mean() > 0.6
    assert torch.equal(outcome.success, outcome.after == outcome.target)
    assert not outcome.perturbation[~outcome.success].any()


def test_targets_can_be_passed_and_are_those_reached(data):
    x, labels = data
    targets = (labels + 1) % 4
    outcome = runner.run(settings_of(PGD_LINF), exact, x, labels, seed=0, batch_size=5, targets=targets)
    assert torch.equal(outcome.target, targets) and outcome.success.any()
    assert torch.equal(outcome.after[outcome.success], targets[outcome.success])


def test_a_wrong_class_that_is_not_the_target_is_no_success(data):
    x, labels = data
    untargeted = runner.run(settings_of(FGSM, eps_255=8), exact, x, labels, seed=0)
    aimed = runner.run(settings_of(FGSM, eps_255=8, target="least_likely"), exact, x, labels, seed=0)
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
        runner.run(settings_of(PGD_LINF), exact, *data, seed=0, targets=targets(data[1]))


def test_targets_of_an_untargeted_attack_are_refused(data):
    fourier = settings_of({"method": "fourier", **LINF, "row": 0, "column": 1})
    with pytest.raises(ValueError, match="expected no targets for fourier, which is untargeted"):
        runner.run(fourier, exact, *data, seed=0, targets=(data[1] + 1) % 4)


# ---- entries


def run_whole_entry(*arguments, **options):
    """All chunks of an entry as one: perturbations, rows."""
    changes, tables = zip(*runner.run_entry(*arguments, **options), strict=True)
    return torch.cat(changes), pd.concat(tables, ignore_index=True)


def test_several_radii_give_the_rows_of_each_alone(data):
    for entry, key, radii in ((PGD_LINF, "eps_255", [20, 4, 0]), (PGD_L2, "eps", [2.0, 0.5])):
        change, table = run_whole_entry(settings_of(entry, **{key: radii}), exact, *data, seed=3, batch_size=5)
        names = [f"{radius:g}/255" if key == "eps_255" else f"{radius:g}" for radius in radii]
        assert table["variant"].tolist() == [name for name in names for _ in range(12)]
        assert table["image"].tolist() == [*range(12)] * len(radii)
        for number, radius in enumerate(radii):
            alone = runner.run(settings_of(entry, **{key: radius}), exact, *data, seed=3)
            rows = slice(12 * number, 12 * number + 12)
            torch.testing.assert_close(change[rows], alone.perturbation, rtol=0, atol=1e-6)
            assert table["success"][rows].tolist() == alone.success.tolist()
            expected = radius / 255 if key == "eps_255" else radius
            assert table["eps"][rows].tolist() == [pytest.approx(expected)] * 12


def test_a_search_without_regard_to_the_radius_runs_once_for_all_radii(data, monkeypatch):
    calls = []
    attack = registry.ATTACKS["cw"]
    monkeypatch.setitem(
        registry.ATTACKS, "cw", attack._replace(function=lambda *given: calls.append(1) or attack.function(*given))
    )
    change, table = run_whole_entry(settings_of(CW, eps=[0.3, 3.0]), exact, *data, seed=0)
    assert len(calls) == 1
    for number, eps in enumerate((0.3, 3.0)):
        alone = runner.run(settings_of(CW, eps=eps), exact, *data, seed=0)
        torch.testing.assert_close(change[12 * number : 12 * number + 12], alone.perturbation, rtol=0, atol=0)
        assert table["queries"][12 * number : 12 * number + 12].tolist() == alone.queries.tolist() == [60] * 12
    assert table["success"][:12].sum() < table["success"][12:].sum()


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
    settings = settings_of(PGD_LINF, eps_255=[4, 20])
    counting = Fails(at=0)
    whole = run_whole_entry(settings, counting, *data, seed=3, batch_size=4)
    broken = Fails(at=counting.calls // 2)
    store = Store(tmp_path, {})
    with pytest.raises(ArithmeticError):
        run_whole_entry(settings, broken, *data, seed=3, batch_size=4, store=store)
    assert [file.stem for file in tmp_path.iterdir()] == ["seed3-variant0-images0-3"]
    rest = Fails(at=0)
    change, table = run_whole_entry(settings, rest, *data, seed=3, batch_size=4, store=store)
    assert rest.calls == counting.calls * 2 // 3
    assert torch.equal(change, whole[0])
    assert table.equals(whole[1])
