"""Margins of networks inside bands: the perturbation that changes the class with the frequencies of one band alone."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from torch import Tensor, nn

from spectroscope.attribution.margins import MarginSearchSettings, margins
from spectroscope.frequency.partitions import Partition, check_number
from spectroscope.pipeline import passes
from spectroscope.probing.shells import bands_of
from spectroscope.statistics.cells import CELLS, single
from spectroscope.statistics.estimates import StatisticsSettings, medians, summary


class MarginSettings(MarginSearchSettings):
    """Margins of the first `n_images` test images, inside the bands of a partition of the DCT."""

    n_images: Annotated[int, Field(ge=2)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None

    @model_validator(mode="after")
    def _number(self) -> "MarginSettings":
        check_number(self.partition, self.bands)
        return self


def band_margins(model: nn.Module, images: Tensor, labels: Tensor, settings: MarginSettings) -> Tensor:
    """l2 norm of the smallest perturbation found inside each band: (N, C, H, W), (N,) -> (n_images, bands).

    NaN in the row of an image that is misclassified already, infinity where none was found.
    """
    images, labels = images[: settings.n_images], labels[: settings.n_images]
    index = bands_of(images, settings.partition, settings.bands)
    (found,) = passes.in_passes(
        model, images, lambda rows: (margins(model, images[rows], labels[rows], index, settings),)
    )
    return found


def margin_table(
    values: np.ndarray, labels: np.ndarray, clusters: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """Median margin of each band: band, unreached, SUMMARY, cells; values (seeds, images, bands), labels and clusters.

    `mean` is the mean over networks of each network's median over the images that it has right: infinite where half of
    a network's margins are, NaN without an image that is right. The interval is that of `estimates.medians`. A nominal
    95 % interval of 16 to 128 images of one network holds the median in 87 to 91 % of simulations. It is NaN where a
    median is infinite, with or without a group. unreached: share of infinite margins. n_images: those that a network
    has right.
    """
    right = ~np.isnan(values).any(2)
    unreached = np.isinf(values[right]).sum(0) / max(int(right.sum()), 1)
    found = replace(medians(values, clusters, labels), n_images=int(right.any(0).sum()))
    figures = summary(found, statistics)
    infinite = np.isinf(found.by_network).any(0)
    figures |= {name: np.where(infinite, np.nan, figures[name]) for name in ("low", "high")}
    figures["mean"] = np.where(infinite, np.inf, figures["mean"])
    figures["n_seeds"] = (~np.isnan(found.by_network)).sum(0)
    return pd.DataFrame({"band": range(values.shape[2]), "unreached": unreached, **figures, CELLS: single(found)})
