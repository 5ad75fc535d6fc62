"""Mean curves of each network, of all images and of each replicate of them: groups left out, or weighted."""

from typing import Any

import numpy as np
import pandas as pd

from spectroscope.statistics.estimates import StatisticsSettings, image_groups, per_image


def clusters_of(table: pd.DataFrame, clusters: np.ndarray) -> np.ndarray:
    """Cluster of each image of a table, in the order of `grid`; clusters (N,): of every test image."""
    return np.asarray(clusters)[per_image(table, "image")]


def groups_of_images(
    table: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Group and label of each image of a table, in the order of `grid`: (I,) twice."""
    labels = per_image(table, "label")
    return image_groups(clusters_of(table, clusters), labels, settings.groups), labels


def mean_curves(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means over all images and without each group: values (S, I, K), groups (I,) -> (S, 1 + G, K)."""
    kept = np.stack([np.ones(len(groups)), *(groups != group for group in range(int(groups.max()) + 1))])
    return class_curves(values, np.zeros(len(groups)), kept)[:, :, 0]


def class_curves(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over the images of each class: values (S, I, K), labels (I,), weights (R, I) -> (S, R, C, K)."""
    of_class = weights[:, None] * (labels == np.unique(labels)[:, None])  # (R, C, I)
    shares = of_class / of_class.sum(2, keepdims=True)
    return np.einsum("rci,sik->srck", shares, values, optimize=True)


def numbers(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures (1,) of one statistic as plain values."""
    return {name: values[0] for name, values in figures.items()}
