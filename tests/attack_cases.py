"""What the tests of attacks share: one table of cases over every registry entry, images and networks to attack."""

import pytest
import torch
from torch import nn

from spectroscope.attacks.settings import AttackSettings
from spectroscope.pipeline import machine, params

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


def linear(x):
    """Two classes; the margin grows along one plane of pixels."""
    slope = torch.linspace(-1, 1, SHAPE[-1], dtype=x.dtype)
    score = (x * slope).sum((1, 2, 3)) + 5
    return torch.stack([score, -score], 1)


def exact(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(4, *SHAPE, generator=generator)
    return torch.stack([torch.tanh((x * weight).flatten(1)).sum(1) for weight in weights], 1)


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
