"""Predictions and attributions small enough to work out by hand."""

import numpy as np
import pandas as pd

from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings

SETTINGS = StatisticsSettings(confidence=0.9, groups=10)
RUNS = ["standard", "adversarial"]
CLASSES = ["brick", "grass", "moon"]
ENDING = SUMMARY


def predictions(right: dict[tuple[str, str], list[list[int]]], labels: list[int]) -> pd.DataFrame:
    """One row for each run, name, seed and image; right[run, name][seed][image]."""
    return pd.DataFrame(
        {
            "run": run,
            "seed": 10 * seed,
            "name": name,
            "image": image,
            "label": labels[image],
            "cluster": image,
            "right": bool(value),
        }
        for (run, name), seeds in right.items()
        for seed, images in enumerate(seeds)
        for image, value in enumerate(images)
    )


def attribution(
    curves: dict[int, list[float]], seeds: int = 2, per_class: int = 3, spread: float = 0.0
) -> pd.DataFrame:
    """A table as of `attribution.table`: every image of a class has its curve, give or take."""
    rng, rows = np.random.default_rng(0), []
    labels = np.repeat(list(curves), per_class)
    for seed in range(seeds):
        for image, label in enumerate(labels):
            values = np.array(curves[label]) + spread * rng.normal(size=len(curves[label]))
            shells = {f"shell_{k}": value for k, value in enumerate(values)}
            rows.append({"seed": seed, "image": image, "label": label, "right": True, **shells})
    return pd.DataFrame(rows)
