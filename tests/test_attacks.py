import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from spectroscope import io, params, runtime
from spectroscope.attacks import advertorch_adapter, suite
from spectroscope.attacks.queries import Queried, evaluating, norms
from spectroscope.attacks.settings import AttackSettings
from spectroscope.spectrum import dct2

SHAPE = (3, 12, 12)

CASES = {
    "fgsm": {"method": "fgsm", "n_images": 60, "target": None, "eps_255": 8},
    "pgd-linf": {
        "method": "pgd",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 8.0,
        "step_255": 2.0,
        "steps": 10,
        "random_start": True,
        "direction": "sign",
        "momentum": 0,
        "stop_early": False,
    },
    "pgd-l2": {
        "method": "pgd",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 0.5,
        "step_size": 0.15,
        "steps": 10,
        "random_start": True,
        "direction": "l2",
        "momentum": 0,
        "stop_early": True,
    },
    "pgd-l1": {
        "method": "pgd",
        "norm": "l1",
        "n_images": 60,
        "target": None,
        "eps": 6.0,
        "step_size": 2.0,
        "steps": 10,
        "random_start": True,
        "direction": "l2",
        "momentum": 0.5,
        "stop_early": False,
    },
    "cw": {
        "method": "cw",
        "n_images": 60,
        "target": None,
        "eps": None,
        "confidence": 0,
        "learning_rate": 0.05,
        "initial_const": 0.1,
        "search_steps": 3,
        "steps": 40,
    },
    "ddn": {"method": "ddn", "n_images": 60, "target": None, "initial_norm": 1.0, "gamma": 0.05, "steps": 40},
    "fab-linf": {"method": "fab", "norm": "linf", "n_images": 60, "target": None, "n_targets": None, "steps": 10},
    "fab-l2": {"method": "fab", "norm": "l2", "n_images": 60, "target": None, "n_targets": 2, "steps": 10},
    "deepfool": {
        "method": "deepfool",
        "n_images": 60,
        "target": None,
        "bands": None,
        "overshoot": 0.02,
        "steps": 20,
    },
    "deepfool-low": {
        "method": "deepfool",
        "n_images": 60,
        "target": None,
        "bands": {"low": {"keep": "lowest", "ratio": 0.5}},
        "overshoot": 0.02,
        "steps": 20,
    },
    "apgd-linf": {
        "method": "apgd",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 8,
        "loss": "cross_entropy",
        "n_targets": None,
        "steps": 20,
    },
    "apgd-l2": {
        "method": "apgd",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 0.5,
        "loss": "dlr",
        "n_targets": None,
        "steps": 20,
    },
    "apgd-t": {
        "method": "apgd",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 8,
        "loss": "targeted_dlr",
        "n_targets": 3,
        "steps": 20,
    },
    "autoattack-linf": {
        "method": "autoattack",
        "norm": "linf",
        "n_images": 60,
        "eps_255": 8,
        "apgd_steps": 20,
        "fab_steps": 10,
        "n_targets": 3,
        "max_queries": 50,
    },
    "autoattack-l2": {
        "method": "autoattack",
        "norm": "l2",
        "n_images": 60,
        "eps": 0.5,
        "apgd_steps": 20,
        "fab_steps": 10,
        "n_targets": 3,
        "max_queries": 50,
    },
    "square-linf": {
        "method": "square",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 12,
        "first_share": 0.3,
        "max_queries": 150,
    },
    "square-l2": {
        "method": "square",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 1.5,
        "first_share": 0.1,
        "max_queries": 150,
    },
    "simba-pixel": {
        "method": "simba",
        "basis": "pixel",
        "freq_dims": None,
        "n_images": 60,
        "target": None,
        "eps_255": 51,
        "step_size": 0.2,
        "max_queries": 150,
    },
    "simba-dct": {
        "method": "simba",
        "basis": "dct",
        "freq_dims": 6,
        "n_images": 60,
        "target": None,
        "eps_255": None,
        "step_size": 0.3,
        "max_queries": 150,
    },
    "simba-random": {
        "method": "simba",
        "basis": "random",
        "freq_dims": None,
        "n_images": 60,
        "target": None,
        "eps_255": None,
        "step_size": 0.5,
        "max_queries": 150,
    },
    "nes-linf": {
        "method": "nes",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 16,
        "step_255": 6,
        "samples": 20,
        "radius": 0.01,
        "momentum": 0.5,
        "max_queries": 170,
    },
    "nes-l2": {
        "method": "nes",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 1.5,
        "step_size": 0.5,
        "samples": 20,
        "radius": 0.01,
        "momentum": 0.5,
        "max_queries": 130,
    },
    "spsa-linf": {
        "method": "spsa",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 24,
        "step_255": 6,
        "samples": 20,
        "radius": 0.01,
        "max_queries": 130,
    },
    "spsa-l2": {
        "method": "spsa",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 1.5,
        "step_size": 0.02,
        "samples": 20,
        "radius": 0.01,
        "max_queries": 130,
    },
    "hop-skip-jump-l2": {
        "method": "hop_skip_jump",
        "norm": "l2",
        "n_images": 60,
        "eps": 4.0,
        "initial_probes": 20,
        "max_queries": 150,
    },
    "hop-skip-jump-linf": {
        "method": "hop_skip_jump",
        "norm": "linf",
        "n_images": 60,
        "eps_255": 80,
        "initial_probes": 20,
        "max_queries": 150,
    },
    "confined-l2": {
        "method": "confined",
        "norm": "l2",
        "n_images": 60,
        "target": None,
        "eps": 1.0,
        "step_size": 0.3,
        "steps": 6,
        "random_start": True,
        "direction": "l2",
        "bands": {
            "low": {
                "keep": "inside",
                "basis": "dct",
                "shape": "linf",
                "unit": "shells",
                "low": 0,
                "high": 6,
                "clip": False,
            }
        },
    },
    "confined-linf": {
        "method": "confined",
        "norm": "linf",
        "n_images": 60,
        "target": None,
        "eps_255": 20,
        "step_255": 5,
        "steps": 6,
        "random_start": False,
        "direction": "sign",
        "bands": {"lowest": {"keep": "lowest", "ratio": 0.5}},
    },
    "fourier": {"method": "fourier", "norm": "linf", "n_images": 60, "eps_255": 60, "row": 0, "column": 1},
    "noise-l2": {"method": "noise", "norm": "l2", "n_images": 60, "eps": 7.0, "kinds": ["pink"]},
    "noise-linf": {"method": "noise", "norm": "linf", "n_images": 60, "eps_255": 120, "kinds": ["other_image"]},
}
EVERY = pytest.mark.parametrize("case", CASES)
BOUNDED = {
    "fgsm": "eps_255",
    "pgd-linf": "eps_255",
    "pgd-l2": "eps",
    "cw": "eps",
    "simba-pixel": "eps_255",
    "nes-linf": "eps_255",
    "nes-l2": "eps",
    "spsa-linf": "eps_255",
    "spsa-l2": "eps",
    "hop-skip-jump-l2": "eps",
    "hop-skip-jump-linf": "eps_255",
    "confined-l2": "eps",
    "confined-linf": "eps_255",
    "fourier": "eps_255",
    "noise-l2": "eps",
    "noise-linf": "eps_255",
    "pgd-l1": "eps",
    "apgd-linf": "eps_255",
    "apgd-l2": "eps",
    "autoattack-linf": "eps_255",
    "square-l2": "eps",
}
SEEDLESS = (
    "fgsm",
    "cw",
    "ddn",
    "fab-linf",
    "fab-l2",
    "deepfool",
    "deepfool-low",
    "confined-linf",
    "fourier",
    "noise-linf",
)
ONE_BY_ONE = [case for case in CASES if case.startswith(("simba", "square"))]  # queries of scores
WHITE_BOX = [
    case for case in CASES if not case.startswith(("simba", "square", "nes", "spsa", "hop", "fourier", "noise"))
]


def settings_of(case, **changes):
    return params.validate({**CASES[case], **changes}, AttackSettings, f"attacks.{case}")


def synthetic(n, seed):
    """Four classes, a grating each, clear to invisible, in noise: (n, C, H, W), labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    line = torch.arange(SHAPE[-1]) + 0.5
    gratings = torch.stack([torch.cos(torch.pi * line * k / SHAPE[-1]).expand(SHAPE) for k in (1, 2, 4, 7)])
    noise = torch.randn(n, *SHAPE, generator=generator)
    contrast = 0.15 * torch.rand(n, 1, 1, 1, generator=generator)
    return (0.5 + contrast * gratings[labels] + 0.2 * noise).clamp(0, 1), labels


class Centre(nn.Module):
    def forward(self, x):
        return (x - 0.5) / 0.25


@pytest.fixture(scope="session")
def model():
    with torch.random.fork_rng():
        runtime.seed(0)
        model = nn.Sequential(
            Centre(),
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16 * 36, 4),
        )
        x, labels = synthetic(1024, 1)
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        for step in range(160):
            rows = slice(step % 8 * 128, step % 8 * 128 + 128)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), labels[rows]).backward()
            optimizer.step()
    model.zero_grad()
    return model.eval()


@pytest.fixture(scope="session")
def data():
    return synthetic(60, 2)


@pytest.fixture(scope="session")
def outcomes(model, data):
    return {case: suite.run(settings_of(case), model, *data, seed=3) for case in CASES}


def linear(x):
    """Two classes; the margin grows along one plane of pixels."""
    slope = torch.linspace(-1, 1, SHAPE[-1], dtype=x.dtype)
    score = (x * slope).sum((1, 2, 3)) + 5
    return torch.stack([score, -score], 1)


def test_the_trained_network_is_worth_attacking(model, data):
    assert (model(data[0]).argmax(1) == data[1]).float().mean() > 0.9


@EVERY
def test_success_means_right_before_and_wrong_after(case, outcomes, model, data):
    x, labels = data
    outcome = outcomes[case]
    assert outcome.success.float().mean() > 0.2
    assert torch.equal(outcome.success, (outcome.before == labels) & (outcome.after != labels))
    assert torch.equal(model(x).argmax(1), outcome.before)
    assert torch.equal(model(x + outcome.perturbation).argmax(1), outcome.after)
    assert [outcome.success.dtype, outcome.queries.dtype, outcome.before.dtype] == [
        torch.bool,
        torch.int64,
        torch.int64,
    ]


@EVERY
def test_bounds_hold_after_save_and_load(case, outcomes, data, tmp_path):
    outcome, settings = outcomes[case], settings_of(case)
    io.write_arrays(tmp_path / "p.parquet", outcome.perturbation, outcome.table())
    change, table, _ = io.read_arrays(tmp_path / "p.parquet")
    torch.testing.assert_close(change, outcome.perturbation, rtol=0, atol=0)
    adversary = data[0] + change
    assert adversary.min() >= 0 and adversary.max() <= 1
    np.testing.assert_allclose(table["l2"], change.double().flatten(1).norm(dim=1), rtol=1e-5)
    np.testing.assert_allclose(table["linf"], change.abs().flatten(1).amax(1))
    if settings.ball:
        sizes = norms(change.double(), settings.ball.norm)
        assert sizes.max() <= settings.ball.eps + 1e-6
        assert sizes.max() > 0.5 * settings.ball.eps


@EVERY
def test_a_failed_attack_returns_the_image(case, outcomes):
    outcome = outcomes[case]
    failed = ~outcome.success
    assert failed.any()
    assert not outcome.perturbation[failed].any()
    assert torch.equal(outcome.after[failed], outcome.before[failed])
    assert (outcome.l2[~failed] > 0).all()


@EVERY
def test_a_misclassified_image_is_not_attacked(case, model, data):
    x = data[0][:8]
    right = model(x).argmax(1)
    outcome = suite.run(settings_of(case), model, x, (right + 1) % 4, seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()
    assert torch.equal(outcome.after, right)


@EVERY
@pytest.mark.parametrize("hidden", [False, True], ids=["module", "function"])
def test_the_model_is_left_as_it_was(case, hidden, model, data):
    model.train()
    model[1].eval()
    model[4].weight.requires_grad_(False)
    model[8].bias.grad = torch.ones_like(model[8].bias)
    modes = [part.training for part in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        if hidden:
            with evaluating(model):
                suite.run(settings_of(case), lambda x: model(x), data[0][:6], data[1][:6], seed=0)
        else:
            suite.run(settings_of(case), model, data[0][:6], data[1][:6], seed=0)
        assert [part.training for part in model.modules()] == modes
        assert [weight.requires_grad for weight in model.parameters()].count(False) == 1
        assert [name for name, weight in model.named_parameters() if weight.grad is not None] == ["8.bias"]
        torch.testing.assert_close(model[8].bias.grad, torch.ones_like(model[8].bias))
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    finally:
        model[4].weight.requires_grad_(True)
        model[8].bias.grad = None
        model.eval()


@EVERY
def test_modes_are_restored_when_the_model_raises(case, model, data):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Dropout()

        def forward(self, x):
            raise ArithmeticError("no")

    broken = Broken().train()
    with pytest.raises(ArithmeticError):
        suite.run(settings_of(case), broken, *data, seed=0)
    assert broken.training and broken.part.training


@EVERY
def test_dropout_is_off_during_the_attack(case, model, data, outcomes):
    model.train()
    try:
        outcome = suite.run(settings_of(case), model, *data, seed=3)
    finally:
        model.eval()
    torch.testing.assert_close(outcome.perturbation, outcomes[case].perturbation, rtol=0, atol=0)


@EVERY
def test_the_caller_s_images_and_random_state_are_untouched(case, model, data):
    x, labels = data[0][:4].clone(), data[1][:4].clone()
    state = torch.get_rng_state()
    with torch.no_grad():
        suite.run(settings_of(case), model, x, labels, seed=0)
    assert torch.equal(x, data[0][:4]) and torch.equal(labels, data[1][:4]) and x.grad is None
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
@pytest.mark.parametrize("zero", [0, 0.0])
def test_eps_zero_returns_the_image(case, name, zero, model, data):
    outcome = suite.run(settings_of(case, **{name: zero}), model, data[0][:6], data[1][:6], seed=0)
    assert not outcome.perturbation.any() and not outcome.success.any() and not outcome.queries.any()


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
def test_eps_is_the_same_as_an_integer_and_as_a_numpy_float(case, name, model, data):
    x, labels = data[0][:6], data[1][:6]
    changes = [
        suite.run(settings_of(case, **{name: eps}), model, x, labels, seed=0).perturbation
        for eps in (1, 1.0, np.float64(1))
    ]
    assert torch.equal(changes[0], changes[1]) and torch.equal(changes[0], changes[2])


@pytest.mark.parametrize(("case", "name"), BOUNDED.items())
@pytest.mark.parametrize("bad", [-1, "8/255", float("nan"), float("inf"), True])
def test_a_bad_eps_is_refused_by_name(case, name, bad):
    with pytest.raises(ValueError, match=rf"attacks\.{case}\.{name}: .*got "):
        settings_of(case, **{name: bad})


def test_the_adapter_takes_an_integer_eps(model, data):
    """advertorch itself accepts nothing but float."""
    x, labels = data[0][:6], data[1][:6]
    for eps in (1, 1.0, np.float32(1)):
        predict = Queried(model, x, labels, 4)
        assert (advertorch_adapter.fgsm(predict, x, labels, eps) - x).abs().amax() > 0.5


@EVERY
def test_the_model_never_sees_a_pixel_outside_the_unit_interval(case, model, data):
    x = data[0][:8].clone()
    x[:, 0] = 0
    x[:, 1] = 1
    seen = []

    def watched(x):
        seen.extend(x.detach().aminmax())
        return model(x)

    suite.run(settings_of(case), watched, x, model(x).argmax(1), seed=0)
    assert len(seen) >= 4 and min(seen) >= 0 and max(seen) <= 1


@EVERY
@pytest.mark.parametrize("value", [-1e-3, 1.001, float("nan")])
def test_an_image_outside_the_unit_cube_is_refused(case, value, model, data):
    x = data[0][:4].clone()
    x[2, 1, 3, 3] = value
    with pytest.raises(ValueError, match=r"expected images in \[0, 1\], got values"):
        suite.run(settings_of(case), model, x, data[1][:4], seed=0)


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
def test_bad_input_is_refused(change, message, model, data):
    call = {"model": model, "images": data[0][:4], "labels": data[1][:4], **change}
    with pytest.raises(ValueError, match=message):
        suite.run(settings_of("fgsm"), seed=0, **call)


@pytest.mark.parametrize("case", WHITE_BOX)
def test_a_model_without_a_gradient_is_refused(case, model, data):
    with pytest.raises(ValueError, match="expected a model that is differentiable in its input"):
        suite.run(settings_of(case), lambda x: model(x).detach(), *data, seed=0)


@EVERY
def test_an_attack_that_leaves_its_bounds_is_an_error(case, model, data, monkeypatch):
    monkeypatch.setitem(suite.ATTACKS, CASES[case]["method"], lambda settings, predict, x, *others: x + 1)
    with pytest.raises(RuntimeError, match=r"expected adversaries in \[0, 1\]"):
        suite.run(settings_of(case), model, *data, seed=0)
    monkeypatch.setitem(suite.ATTACKS, CASES[case]["method"], lambda settings, predict, x, *others: 1 - x)
    if settings_of(case).ball:
        with pytest.raises(RuntimeError, match=r"expected perturbations of l(inf|2|1) norm <= "):
            suite.run(settings_of(case), model, *data, seed=0)


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


def exact(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(4, *SHAPE, generator=generator)
    return torch.stack([torch.tanh((x * weight).flatten(1)).sum(1) for weight in weights], 1)


@EVERY
@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_image_s_result_does_not_depend_on_its_batch(case, batch_size, data):
    x = data[0][:16]
    labels = exact(x).argmax(1)
    together = suite.run(settings_of(case), exact, x, labels, seed=3)
    apart = suite.run(settings_of(case), exact, x, labels, seed=3, batch_size=batch_size)
    assert together.success.any()
    torch.testing.assert_close(apart.perturbation, together.perturbation, rtol=0, atol=1e-6)
    assert torch.equal(apart.queries, together.queries) and torch.equal(apart.after, together.after)


@EVERY
def test_the_first_images_keep_their_result_among_others(case, data):
    labels = exact(data[0]).argmax(1)
    few = suite.run(settings_of(case), exact, data[0][:9], labels[:9], seed=3)
    many = suite.run(settings_of(case), exact, data[0], labels, seed=3)
    torch.testing.assert_close(many.perturbation[:9], few.perturbation, rtol=0, atol=1e-6)


@EVERY
def test_the_same_seed_gives_the_same_adversary(case, model, data, outcomes):
    again = suite.run(settings_of(case), model, *data, seed=3)
    assert torch.equal(again.perturbation, outcomes[case].perturbation)
    other = suite.run(settings_of(case), model, *data, seed=4)
    assert torch.equal(other.perturbation, again.perturbation) == (case in SEEDLESS)


@pytest.mark.parametrize(
    ("case", "queries"), [("fgsm", 1), ("pgd-linf", 10), ("pgd-l1", 10), ("cw", 120), ("ddn", 41)]
)  # one, `steps`, `steps`, `search_steps` x `steps`, `steps` and the last point
def test_a_gradient_method_counts_its_forward_passes(case, queries, data, outcomes):
    attacked = outcomes[case].before == data[1]
    assert (outcomes[case].queries[attacked] == queries).all()
    assert not outcomes[case].queries[~attacked].any()


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


def test_fgsm_is_one_step_along_the_sign_on_a_linear_model():
    x = torch.full((2, *SHAPE), 0.5)
    outcome = suite.run(settings_of("fgsm", eps_255=51), linear, x, torch.tensor([0, 1]), seed=0)
    assert outcome.success.tolist() == [True, False]
    expected = -0.2 * torch.sign(torch.linspace(-1, 1, 12)).expand(SHAPE)
    torch.testing.assert_close(outcome.perturbation[0], expected, rtol=0, atol=1e-6)


def test_cw_finds_the_nearest_point_across_a_plane():
    x = torch.full((1, *SHAPE), 0.5)
    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=150)
    outcome = suite.run(settings, linear, x, torch.tensor([0]), seed=0)
    slope = torch.linspace(-1, 1, 12).expand(SHAPE)
    distance = 5 / slope.norm()
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.03 * distance
    torch.testing.assert_close(outcome.perturbation[0], -distance * slope / slope.norm(), rtol=0, atol=0.02)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_cw_moves_pixels_off_exactly_black_and_white(value):
    x = torch.full((1, *SHAPE), value)
    sign = 1 if value else -1

    def plane(x):
        score = sign * (x.sum((1, 2, 3)) - value * 432 + sign * 10)
        return torch.stack([score, -score], 1)

    settings = settings_of("cw", learning_rate=0.02, search_steps=8, steps=50)
    outcome = suite.run(settings, plane, x, torch.tensor([0]), seed=0)
    distance = 10 / 432**0.5
    assert outcome.success.all()
    assert distance <= outcome.l2[0] <= 1.05 * distance
    assert outcome.perturbation.abs().min() > 0


def test_cw_projected_onto_a_ball_is_tested_again(model, data, outcomes):
    free = outcomes["cw"]
    middle = float(free.l2[free.success].median())
    confined = suite.run(settings_of("cw", eps=middle), model, *data, seed=3)
    assert 0 < confined.success.sum() < free.success.sum()
    assert confined.l2.max() <= middle + 1e-6
    assert torch.equal(confined.success & ~free.success, torch.zeros_like(free.success))


def test_cw_s_perturbations_are_below_half_a_grey_level_in_most_pixels_and_survive_storage(outcomes, tmp_path):
    change = outcomes["cw"].perturbation
    io.write_arrays(tmp_path / "p.parquet", change, outcomes["cw"].table())
    small = (change != 0) & (change.abs() < 0.5 / 255)
    assert small.float().mean() > 0.1
    assert torch.equal(io.read_arrays(tmp_path / "p.parquet")[0][small], change[small])


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


@pytest.mark.parametrize("case", ["pgd-linf", "pgd-l2"])
def test_the_random_start_is_inside_the_ball_and_new_for_each_image(case):
    seen = []

    def watched(x):
        seen.append(x.detach().clone())
        return linear(x)

    x = torch.full((5, *SHAPE), 0.5)
    suite.run(settings_of(case), watched, x, torch.zeros(5, dtype=torch.int64), seed=0)
    start = (seen[1] - x).flatten(1)
    ball = settings_of(case).ball
    sizes = start.abs().amax(1) if ball.norm == "linf" else start.norm(dim=1)
    assert (sizes > 0).all() and sizes.max() <= ball.eps + 1e-6
    assert len({float(row[0]) for row in start}) == 5
    seen.clear()
    suite.run(settings_of(case, random_start=False), watched, x, torch.zeros(5, dtype=torch.int64), seed=0)
    assert torch.equal(seen[1], x)


def test_every_method_of_the_settings_is_in_the_registry_and_an_unknown_one_is_named():
    assert {case["method"] for case in CASES.values()} == set(suite.ATTACKS)
    with pytest.raises(ValueError, match=r"expected an attack among fgsm, pgd, .*, noise, got 'circle'"):
        suite.lookup("circle")


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("fgsm", {"eps_255": -1}, r"attacks\.one\.eps_255: .*greater than or equal to 0, got -1"),
        ("pgd-linf", {"steps": 0}, r"attacks\.one\.steps: .*greater than or equal to 1, got 0"),
        ("pgd-linf", {"norm": "l3"}, r"attacks\.one\.norm: .*'linf', 'l2'"),
        ("pgd-l2", {"eps_255": 8}, r"attacks\.one\.eps_255: unknown setting"),
        ("pgd-l2", {"step_size": 0}, r"attacks\.one\.step_size: .*greater than 0"),
        ("simba-dct", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("simba-dct", {"basis": "dft"}, r"attacks\.one\.basis: .*'pixel', 'dct' or 'random', got 'dft'"),
        ("nes-l2", {"samples": 5}, r"attacks\.one\.samples: .*multiple of 2, got 5"),
        ("nes-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("nes-l2", {"momentum": 1}, r"attacks\.one\.momentum: .*less than 1, got 1"),
        ("spsa-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("spsa-l2", {"norm": "l1"}, r"attacks\.one\.norm: .*'linf', 'l2', got 'l1'"),
        ("hop-skip-jump-l2", {"max_queries": 0}, r"attacks\.one\.max_queries: .*greater than or equal to 1, got 0"),
        ("hop-skip-jump-l2", {"target": "runner_up"}, r"attacks\.one\.target: unknown setting"),
        ("confined-l2", {"direction": "up"}, r"attacks\.one\.direction: .*'sign', 'l2' or 'raw', got 'up'"),
        ("confined-l2", {"bands": {}}, r"attacks\.one\.bands: expected at least 1 entry, got \{\}"),
        ("confined-l2", {"bands": {"a": {"keep": "lowest", "ratio": 0}}}, r"attacks\.one\.bands\.a\.ratio: .*got 0"),
        (
            "confined-l2",
            {"bands": {"a": {"keep": "all", "clip": True}}},
            r"attacks\.one\.bands\.a: expected clip false",
        ),
        ("fourier", {"row": -1}, r"attacks\.one\.row: .*greater than or equal to 0, got -1"),
        ("noise-l2", {"kinds": ["blue"]}, r"attacks\.one\.kinds\.0: .*'pink' or 'other_image', got 'blue'"),
        ("noise-l2", {"kinds": []}, r"attacks\.one\.kinds: expected at least 1 entry"),
        ("cw", {"n_images": 0}, r"attacks\.one\.n_images: "),
        ("fgsm", {"method": "circle"}, r"attacks\.one\.method: .*'fgsm', 'pgd', .*, 'noise', got 'circle'"),
    ],
)
def test_a_bad_setting_is_refused_with_its_key_path(case, change, message, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({"attacks": {"one": {**CASES[case], **change}}}))
    with pytest.raises(ValueError, match=message):
        params.load("attacks.one", AttackSettings, file)
    with pytest.raises(ValueError, match=message):
        params.load("attacks", dict[str, AttackSettings], file)


@EVERY
def test_every_setting_is_required(case):
    for name in CASES[case].keys() - {"method", "norm"}:
        rest = {key: value for key, value in CASES[case].items() if key != name}
        with pytest.raises(ValueError, match=rf"attacks\.one\.{name}: expected this setting, found none"):
            params.validate(rest, AttackSettings, "attacks.one")


@pytest.mark.parametrize("first", ["torchvision", "advertorch"])
def test_advertorch_and_torchvision_import_in_both_orders_in_a_fresh_process(first):
    steps = {
        "torchvision": "import torchvision",
        "advertorch": "from spectroscope.attacks import advertorch_adapter as a; a._attacks().CarliniWagnerL2Attack",
    }
    after = "import sys; assert not hasattr(sys.modules['torch.autograd.gradcheck'], 'zero_gradients')"
    code = "\n".join([*sorted(steps.values(), key=lambda step: step != steps[first]), after])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_suite_brings_neither_advertorch_nor_torchvision():
    code = (
        "import sys, spectroscope.attacks.suite; print([m for m in ('advertorch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
