"""Small networks whose attribution is known, a task to explain them on, and settings of every method."""

import math

import torch

from spectroscope.attribution.registry import MethodSettings
from spectroscope.attribution.task import Task
from spectroscope.frequency.partitions import by_band, partition
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import params

EXACT = {"rtol": 0, "atol": 1e-10}
SHAPE, CLASSES, BANDS = (2, 7, 10), 3, 5
METHODS = {
    "occluded": {"baseline": "zero", "channels": "each", "clip": False},
    "kept": {"baseline": "zero", "clip": False},
    "shapley": {"baseline": "zero", "clip": False},
    "sampled_shapley": {"baseline": "zero", "clip": False, "pairs": 4},
    "gradient": {},
    "gradient_x_coefficient": {},
    "integrated_gradients": {"baseline": "zero", "steps": 6, "tolerance": 1e9, "most_steps": 1000},
    "smooth_grad": {"samples": 3, "sigma_255": 10.0},
    "heat_map": {"eps": 0.5, "value": "logit", "clip": False},
    "fourier_attack": {"eps_255": 20.0, "clip": True},
    "learned_mask": {"penalty": 2.0, "steps": 8, "learning_rate": 0.1},
    "margin": {"steps": 20, "candidates": 2},
}
UNSIGNED = ("gradient", "smooth_grad", "heat_map", "fourier_attack", "learned_mask", "margin")
SIGNED = [name for name in METHODS if name not in UNSIGNED]


def settings(name: str, **change):
    return params.validate({"method": name, **METHODS[name], **change}, MethodSettings, "methods.it")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def make_task(model, basis="dct", score="logit", n=6, chunk=4, dtype=torch.float64, bands=BANDS) -> Task:
    images = torch.rand(n, *SHAPE, generator=generator(), dtype=torch.float64).to(dtype)
    index, waves = (partition(*SHAPE[1:], "linf", bands if b == "dct" else 4, b) for b in (basis, "dft"))
    return Task(model, images, torch.arange(n) % CLASSES, basis, index, waves, score, 0, chunk)


def linear(seed: int = 1):
    weights = random(math.prod(SHAPE), CLASSES, seed=seed)
    return lambda x: x.flatten(1) @ weights.to(x.dtype) + 0.3


def network():
    """Two dense layers with a tanh between them: nothing about it is linear."""
    first, second = random(math.prod(SHAPE), 12, seed=2), random(12, CLASSES, seed=3)
    return lambda x: (x.flatten(1) @ first.to(x.dtype)).tanh() @ second.to(x.dtype)


def energies(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return by_band(dct2(x).square().sum(1), index)
