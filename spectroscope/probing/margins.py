"""Margins of networks inside bands: the perturbation that changes the class with the frequencies of one band alone."""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from torch import Tensor, nn

from spectroscope.attribution.margins import MarginSearchSettings, margins
from spectroscope.frequency.partitions import Partition, partition
from spectroscope.statistics.cells import CELLS, single
from spectroscope.statistics.estimates import (
    Estimates,
    StatisticsSettings,
    group_names,
    image_groups,
    jackknife,
    summary,
)


class MarginSettings(MarginSearchSettings):
    """Margins of the first `n_images` test images, inside the bands of a partition of the DCT."""

    n_images: Annotated[int, Field(ge=2)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None


def band_margins(model: nn.Module, images: Tensor, labels: Tensor, settings: MarginSettings) -> Tensor:
    """l2 norm of the smallest perturbation found inside each band: (N, C, H, W), (N,) -> (n_images, bands).

    NaN in the row of an image that is misclassified already, infinity where none was found.
    """
    height, width = images.shape[-2:]
    index = partition(height, width, settings.partition, settings.bands, "dct")
    return margins(model, images[: settings.n_images], labels[: settings.n_images], index, settings)


def margin_table(
    values: np.ndarray, labels: np.ndarray, clusters: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """Median margin of each band: band, unreached, SUMMARY, cells; values (seeds, images, bands), labels and clusters.

    `mean` is the mean over networks of each network's median over the images that it has right: infinite where half of
    a network's margins are, NaN without an image that is right. The interval leaves out one of about sqrt(images)
    groups of images at a time: a median needs larger groups than one image (Shao & Wu 1989). A nominal 95 % interval of
    16 to 128 images of one network holds the median in 87 to 91 % of simulations. It is NaN where a median is infinite,
    with or without a group. unreached: share of infinite margins. n_images: those that a network has right.
    """
    n_images = len(np.unique(clusters))
    groups = image_groups(clusters, labels, max(2, round(n_images**0.5)))
    right = ~np.isnan(values).any(2)
    unreached = np.isinf(values[right]).sum(0) / max(int(right.sum()), 1)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        medians = jackknife(values, lambda network, _: _median(network), groups)
    cells = np.where(np.isfinite(medians.cells), medians.cells, np.nan)
    n_right, names = int(right.any(0).sum()), group_names(groups, clusters)
    behind = Estimates(medians.by_network, cells, n_right, bounds=(0, np.inf), groups=names)
    figures = summary(behind, statistics)
    infinite = np.isinf(medians.by_network).any(0)
    figures |= {name: np.where(infinite, np.nan, figures[name]) for name in ("low", "high")}
    figures["mean"] = np.where(infinite, np.inf, figures["mean"])
    figures["n_seeds"] = (~np.isnan(medians.by_network)).sum(0)
    return pd.DataFrame({"band": range(values.shape[2]), "unreached": unreached, **figures, CELLS: single(behind)})


def _median(values: np.ndarray) -> np.ndarray:
    """Median over the images without NaN, infinite where half of the margins are: (images, bands) -> (bands,)."""
    rows = np.sort(values[~np.isnan(values).any(1)], axis=0)
    if not len(rows):
        return np.full(values.shape[1], np.nan)
    return (rows[(len(rows) - 1) // 2] + rows[len(rows) // 2]) / 2
