"""Claims on networks and images made by a random generator, whose effects are known."""

from typing import Any

import numpy as np

from spectroscope.claims.effects import Cells
from spectroscope.claims.settings import Claim
from spectroscope.pipeline import params
from spectroscope.statistics.cells import KEYS
from spectroscope.statistics.estimates import Estimates, StatisticsSettings, means

SETTINGS = StatisticsSettings(confidence=0.95, groups=20)
ACCURACY = {"table": "accuracy", "where": {"run": "b", "attack": "pgd"}, "less": {"run": "a"}}


def claim(**changes: Any) -> Claim:
    """Run b is more accurate than run a under pgd by more than .1."""
    settings = {"says": "b is more robust", "why": "ten points", "effect": ACCURACY, "control": "there is none"}
    settings |= {"manipulation": [], "expect": "above", "margin": 0.1, "unit": "share of images"}
    return params.validate(settings | changes, Claim, "claims.c")


def values(
    mean: float, networks: int = 5, images: int = 200, between: float = 0.02, seed: int = 0, noise: float = 0.3
) -> np.ndarray:
    """Values (networks, images) around a mean; networks differ by `between`, values of one network by `noise`."""
    rng = np.random.default_rng(seed)
    of_networks = rng.normal(0, between, (networks, 1))
    return mean + of_networks + rng.normal(0, noise, (1, images)) + rng.normal(0, noise / 3, (networks, images))


def estimates(found: np.ndarray, clusters: np.ndarray | None = None) -> Estimates:
    return means(found[:, :, None], np.arange(found.shape[1]) if clusters is None else clusters)


def cells(**rows: np.ndarray | Estimates) -> Cells:
    """Cells of the table `accuracy` under pgd, by run."""
    found: Cells = {name: {} for name in KEYS}
    for run, row in rows.items():
        found["accuracy"][run, "pgd"] = (row if isinstance(row, Estimates) else estimates(row), "")
    return found
