"""Shared by the tests of attacks: one table of cases over every registry entry, images and networks to attack."""

import pytest
import torch
from torch import nn

from spectroscope.attacks import runner
from spectroscope.attacks.registry import AttackSettings
from spectroscope.pipeline import machine, params

SHAPE = (3, 12, 12)
LINF, L2 = {"norm": "linf"}, {"norm": "l2"}
STEPS = {"target": None, "random_start": True}
PGD = {"method": "pgd", **STEPS, "steps": 10, "direction": "sign", "momentum": 0, "stop_early": False}
FMN = {"method": "fmn", "target": None, "relative_step": 2.0, "gamma": 0.1, "steps": 40}
FAB = {"method": "fab", "target": None, "steps": 10}
DEEPFOOL = {"method": "deepfool", "target": None, "overshoot": 0.02, "steps": 20}
APGD = {"method": "apgd", "target": None, "steps": 20, "n_targets": None}
AUTOATTACK = {"method": "autoattack-reduced", "apgd_steps": 20, "fab_steps": 10, "n_targets": 3, "max_queries": 50}
SQUARE = {"method": "square", "target": None, "max_queries": 150}
SIMBA = {"method": "simba", "target": None, "max_queries": 150}
NES = {"method": "nes", "target": None, "samples": 20, "radius": 0.01, "momentum": 0.5}
SPSA = {"method": "spsa", "target": None, "samples": 20, "radius": 0.01, "max_queries": 130}
HOP_SKIP_JUMP = {"method": "hop_skip_jump", "initial_probes": 20, "max_queries": 150}
CONFINED = {"method": "confined", **STEPS, "steps": 6, "coefficients": None}
LOW = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 6, "clip": False}
LOWEST = {"keep": "lowest", "ratio": 0.5}
CASES = {
    "fgsm": {"method": "fgsm", "target": None, "eps_255": 8},
    "pgd-linf": {**PGD, **LINF, "eps_255": 8.0, "step_255": 2.0},
    "pgd-l2": {**PGD, **L2, "eps": 0.5, "step_size": 0.15, "direction": "l2", "stop_early": True},
    "pgd-l1": {**PGD, "norm": "l1", "eps": 6.0, "step_size": 2.0, "direction": "l2", "momentum": 0.5},
    "cw": {
        "method": "cw",
        "target": None,
        "eps": None,
        "confidence": 0,
        "learning_rate": 0.05,
        "initial_const": 0.1,
        "search_steps": 3,
        "steps": 30,
    },
    "ddn": {"method": "ddn", "target": None, "initial_norm": 1.0, "gamma": 0.05, "steps": 40},
    "fmn-linf": {**FMN, **LINF, "n_targets": 2},
    "fmn-l2": {**FMN, **L2, "n_targets": None},
    "fab-linf": {**FAB, **LINF, "n_targets": None},
    "fab-l2": {**FAB, **L2, "n_targets": 2},
    "deepfool": {**DEEPFOOL, "bands": None},
    "deepfool-low": {**DEEPFOOL, "bands": {"low": LOWEST}},
    "apgd-linf": {**APGD, **LINF, "eps_255": 8, "loss": "cross_entropy"},
    "apgd-l2": {**APGD, **L2, "eps": 0.5, "loss": "dlr"},
    "apgd-t": {**APGD, **LINF, "eps_255": 8, "loss": "targeted_dlr", "n_targets": 3},
    "autoattack": {"method": "autoattack", **LINF, "eps_255": 8},
    "autoattack-linf": {**AUTOATTACK, **LINF, "eps_255": 8},
    "autoattack-l2": {**AUTOATTACK, **L2, "eps": 0.5},
    "square-linf": {**SQUARE, **LINF, "eps_255": 12, "first_share": 0.3},
    "square-l2": {**SQUARE, **L2, "eps": 1.5, "first_share": 0.1},
    "simba-pixel": {**SIMBA, "basis": "pixel", "freq_dims": None, "eps_255": 51, "step_size": 0.2},
    "simba-dct": {**SIMBA, "basis": "dct", "freq_dims": 6, "eps_255": None, "step_size": 0.3},
    "simba-random": {**SIMBA, "basis": "random", "freq_dims": None, "eps_255": None, "step_size": 0.5},
    "nes-linf": {**NES, **LINF, "eps_255": 16, "step_255": 6, "max_queries": 170},
    "nes-l2": {**NES, **L2, "eps": 1.5, "step_size": 0.5, "max_queries": 130},
    "spsa-linf": {**SPSA, **LINF, "eps_255": 24, "step_255": 6},
    "spsa-l2": {**SPSA, **L2, "eps": 1.5, "step_size": 0.02},
    "hop-skip-jump-l2": {**HOP_SKIP_JUMP, **L2, "eps": 4.0},
    "hop-skip-jump-linf": {**HOP_SKIP_JUMP, **LINF, "eps_255": 80},
    "confined-l2": {**CONFINED, **L2, "eps": 1.0, "step_size": 0.3, "direction": "l2", "bands": {"low": LOW}},
    "confined-linf": {
        **CONFINED,
        **LINF,
        "eps_255": 20,
        "step_255": 5,
        "random_start": False,
        "direction": "sign",
        "bands": {"lowest": LOWEST},
    },
    "fourier": {"method": "fourier", **LINF, "eps_255": 100, "row": 0, "column": 1},
    "noise-l2": {"method": "noise", **L2, "eps": 7.0, "kinds": ["pink"]},
    "noise-linf": {"method": "noise", **LINF, "eps_255": 120, "kinds": ["other_image"]},
}
CASES = {case: {"n_images": 60, **entry} for case, entry in CASES.items()}
EVERY = pytest.mark.parametrize(
    "case", [case for case in CASES if case != "autoattack"]
)  # the code of autoattack-linf, but slow
RADII = {case: next((key for key in ("eps", "eps_255") if key in entry), None) for case, entry in CASES.items()}
BOUNDED = [case for case, key in RADII.items() if key]
WITHOUT_RANDOMNESS = ("fgsm", "cw", "ddn", "fab-linf", "fab-l2", "deepfool", "deepfool-low", "confined-linf")
WITHOUT_RANDOMNESS += ("fmn-linf", "fmn-l2", "fourier", "noise-linf")
SCORE_SEARCHES = [case for case in CASES if case.startswith(("simba", "square"))]
WHITE_BOX = [
    case for case in CASES if not case.startswith(("simba", "square", "nes", "spsa", "hop", "fourier", "noise"))
]


def settings_of(case, **changes):
    """Settings of a case, or of an entry given as a mapping."""
    entry = CASES[case] if isinstance(case, str) else {"n_images": 60, **case}
    return params.validate({**entry, **changes}, AttackSettings, f"attacks.{case if isinstance(case, str) else 'one'}")


class Outcomes(dict):
    """What each case does to a model, computed when it is first asked for."""

    def __init__(self, model, data):
        super().__init__()
        self.arguments = (model, *data)

    def __missing__(self, case):
        self[case] = runner.run(settings_of(case), *self.arguments, seed=3)
        return self[case]


def synthetic(n, seed):
    """Four classes, a grating each, clear to invisible, in noise: (n, C, H, W), labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    line = torch.arange(SHAPE[-1]) + 0.5
    gratings = torch.stack([torch.cos(torch.pi * line * k / SHAPE[-1]).expand(SHAPE) for k in (1, 2, 4, 7)])
    noise = torch.randn(n, *SHAPE, generator=generator)
    contrast = 0.15 * torch.rand(n, 1, 1, 1, generator=generator)
    return (0.5 + contrast * gratings[labels] + 0.2 * noise).clamp(0, 1), labels


def linear(x):
    """Two classes; the margin grows along one plane of pixels."""
    slope = torch.linspace(-1, 1, SHAPE[-1], dtype=x.dtype)
    score = (x * slope).sum((1, 2, 3)) + 5
    return torch.stack([score, -score], 1)


def exact(x, centre=0.0):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    weights = torch.randn(4, *x.shape[1:], generator=torch.Generator().manual_seed(5))
    return torch.stack([torch.tanh(((x - centre) * weight).flatten(1)).sum(1) for weight in weights], 1)


class Centre(nn.Module):
    def forward(self, x):
        return (x - 0.5) / 0.25


def trained():
    """A small network that has learned `synthetic`; with BatchNorm and dropout, in evaluation mode."""
    with torch.random.fork_rng():
        machine.seed(0)
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


# ---- for the loops written after the papers, which take one image at a time


def textbook_model(x):
    """Four logits of images with 8 x 10 pixels; the same bits in any batch."""
    return exact(x, centre=0.5)


def textbook_data():
    """Nine images with black and white regions, labelled as `textbook_model` predicts."""
    x = torch.rand(9, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    x[0, :, :3], x[1, :, 4:] = 0, 1
    return x, textbook_model(x).argmax(1)


def textbook_log_odds(z, label):
    """Log odds of the label of one image (C, H, W)."""
    logits = textbook_model(z[None])[0].double()
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return float(logits[label] - others.logsumexp(0))


def textbook_fooled(z, label):
    return int(textbook_model(z[None]).argmax()) != label


def within_budget(values, budget):
    """The outcome of a black box that asks at most `budget` times, has every question counted and takes no gradient."""
    sizes, data = [], textbook_data()

    def counting(x):
        assert not torch.is_grad_enabled() and not x.requires_grad
        assert x.min() >= 0 and x.max() <= 1
        sizes.append(len(x))
        return textbook_model(x)

    outcome = runner.run(settings_of(values, max_queries=budget), counting, *data, seed=0)
    assert outcome.queries.max() <= budget
    assert sum(sizes) == outcome.queries.sum() + 2 * len(data[0])  # and one before, one that verifies
    return outcome
