"""A small network to check explanations of, and tables whose summaries are worked out by hand."""

import math

import numpy as np
import pandas as pd
import torch
from torch import nn

from spectroscope.attribution.task import Task
from spectroscope.frequency.partitions import partition
from spectroscope.statistics.estimates import StatisticsSettings

EXACT = {"rtol": 0, "atol": 1e-10}
SHAPE, CLASSES, BANDS, N = (2, 7, 10), 3, 4, 6
SETTINGS = {
    "n_images": 10,
    "images": "all",
    "basis": "dct",
    "shape": "linf",
    "bands": None,
    "baseline": "zero",
    "clip": False,
    "hf_from": 0.5,
    "seed": 0,
    "compared": {"n_images": N, "shape": "linf", "bands": BANDS, "score": "logit"},
    "methods": {
        "occluded": {"method": "occluded", "baseline": "zero", "channels": "each", "clip": False},
        "integrated": {
            "method": "integrated_gradients",
            "baseline": "zero",
            "steps": 4,
            "tolerance": 0.05,
            "most_steps": 16,
        },
        "waves": {"method": "heat_map", "eps": 1, "value": "logit", "clip": True},
    },
}
CHECKS = {
    "faithfulness": {"fractions": [0, 0.25, 1]},
    "sanity": {"n_images": 3, "shares": [0.5, 1]},
    "multiverse": {
        "n_images": 4,
        "bases": ["dct", "dft"],
        "shapes": ["linf", "octave", "equal_energy"],
        "baselines": ["zero", "mean"],
        "scores": ["logit", "margin"],
        "clips": [False, True],
    },
}

STATISTICS = StatisticsSettings(confidence=0.9, groups=20)
CLUSTERS = np.arange(60)  # every image stands for itself
BAND_TABLE = pd.DataFrame(
    {"basis": "dct", "shape": "linf", "band": range(4), "size": [1, 2, 4, 8], "energy": [9.0, 4.0, 2.0, 1.0]}
).assign(position=[0, 0.2, 0.6, 0.9], seed=0)
CURVE = [5.0, 1.0, 3.0, -1.0]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 12), nn.Tanh(), nn.Linear(12, CLASSES)).double()
    with torch.no_grad():
        for seed, weight in enumerate(model.parameters()):
            weight.copy_(random(*weight.shape, seed=seed))
    return model.requires_grad_(False)


def make_task(basis="dct", chunk=4) -> Task:
    images = torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index, waves = (partition(*SHAPE[1:], "linf", BANDS, each) for each in (basis, "dft"))
    return Task(network(), images, torch.arange(N) % CLASSES, basis, index, waves, "logit", 0, chunk)


def values(curves: dict[str, list[float]], seeds: int = 2, n: int = 4, spread: float = 0.0) -> pd.DataFrame:
    """Every image of every seed has the curve of its method, give or take; two classes by turns."""
    rng, rows = np.random.default_rng(0), []
    for method, curve in curves.items():
        for seed in range(seeds):
            for image in range(n):
                noisy = np.array(curve) + spread * rng.normal(size=len(curve))
                bands = {f"band_{k}": value for k, value in enumerate(noisy)}
                rows.append({"method": method, "seed": seed, "image": image, "label": image % 2, **bands})
    return pd.DataFrame(rows).assign(error=0.5, beyond=np.nan)


def assert_points_lie_in_their_intervals(table: pd.DataFrame) -> None:
    """Every row has a point within its interval, or no interval at all."""
    low, mean, high = (table[name].to_numpy(float) for name in ("low", "mean", "high"))
    assert (np.isnan(low) == np.isnan(high)).all()
    there = ~np.isnan(low)
    assert (low[there] <= mean[there] + 1e-12).all() and (mean[there] <= high[there] + 1e-12).all()
