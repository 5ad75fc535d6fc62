"""Made-up outcomes of attacks, and a network linear in the pixels, for the tests of `spectroscope.attack_checks`."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from spectroscope.attack_checks import strength
from spectroscope.statistics.estimates import StatisticsSettings

SETTINGS = StatisticsSettings(confidence=0.9, groups=20)
NONE, HALF, ALL = np.zeros((2, 20)), np.tile([0, 1], (2, 10)), np.ones((2, 20))


SHAPE = (3, 8, 8)


class Linear(nn.Module):
    """Two classes by a sum over pixels; `change` is applied to the logits."""

    def __init__(self, weight, change=lambda logits: logits):
        super().__init__()
        self.weight, self.change = nn.Parameter(weight), change

    def forward(self, x):
        score = (x * self.weight).sum((1, 2, 3))
        return self.change(torch.stack([score, -score], 1))


def described(*rows):
    """attack, kind, norm, eps; a variant after a space."""
    columns = ["attack", "kind", "norm", "eps"]
    table = pd.DataFrame(rows, columns=columns).astype({"eps": float})
    names = table["attack"].str.split(" ", n=1)
    return table.assign(entry=names.str[0], variant=[name[1] if len(name) > 1 else "" for name in names])


def attack(name, fooled, l2=1.0, first=5, run="a", right=None):
    """A row for each seed and image; fooled, right: (seeds, images); l2 of the successes: a number, or one for each."""
    fooled = np.array(fooled, bool)
    right = np.ones_like(fooled) if right is None else np.array(right, bool)
    rows = []
    for seed, image in np.ndindex(fooled.shape):
        success = bool(fooled[seed, image] and right[seed, image])
        rows.append(
            {
                "run": run,
                "attack": name,
                "seed": seed,
                "image": image,
                "label": 0,
                "before": 0 if right[seed, image] else 1,
                "success": success,
                "queries": 20,
                "queries_to_success": first if success else -1,
                "l2": np.broadcast_to(l2, fooled.shape)[seed, image] if success else 0.0,
                "linf": 0.1 if success else 0.0,
            }
        )
    return pd.DataFrame(rows)


def cells(rows, *attacks):
    """Cells of the run a: rows of `attack`, and a row of `described` for each."""
    outcomes = {("a", table["attack"].iloc[0]): table for table in rows}
    return strength.cells(outcomes, described(*attacks), ["a"], np.arange(1000))
