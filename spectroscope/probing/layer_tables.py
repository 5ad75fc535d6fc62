"""Table of the layers of a run: what their features hold of each band and which bands reach them, beside two nulls."""

from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from torch import Tensor, nn

from spectroscope.frequency.partitions import Partition, check_number, cycles_per_side, mean_by_band
from spectroscope.pipeline import machine, memory, passes
from spectroscope.pipeline.params import Seed, Settings
from spectroscope.probing.layers import measure_layers, relative_to_image, with_nulls
from spectroscope.probing.shells import bands_of
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings, group_names, image_groups

STATISTICS = ("relative", "passed")
COLUMNS = ["layer", "network", "statistic", "band", "cycles"]
Key = tuple[str, str, str]  # layer (`1.conv1 Conv2d`), network (of layers.NETWORKS), statistic


class LayerSettings(Settings):
    """Layers of every network on the first `n_images` test images, in the bands of a partition of the DCT.

    `seed`: of the orders of pixels in the null, the same for all networks; weights are shuffled from each network's.
    """

    n_images: Annotated[int, Field(ge=2)]
    partition: Partition
    bands: Annotated[int, Field(ge=2)] | None
    seed: Seed

    @model_validator(mode="after")
    def _number(self) -> "LayerSettings":
        check_number(self.partition, self.bands)
        return self


def layers_by_band(model: nn.Module, images: Tensor, seed: int, settings: LayerSettings) -> dict[Key, np.ndarray]:
    """Numbers of one network, the layer's and the image's, for each band above DC: (n_images, bands - 1, 2) by key.

    A layer is named by its module's name and class. seed: the network's. ValueError for a network without layers of
    maps or tokens.
    """
    images = images[: settings.n_images]
    index = bands_of(images, settings.partition, settings.bands)
    found: dict[Key, np.ndarray] = {}
    of_pixels, of_weights = machine.generator(settings.seed), machine.generator(seed, 1)  # (seed) draws for masks
    for network, module, pixels in with_nulls(model, images, of_pixels, of_weights):
        work = partial(measure_layers, module, pixels, index, index, "dct")
        layers, measured = memory.halving(work, passes.forward_batch_size(module, pixels))
        kinds = {layer.name: layer.module for layer in layers}
        for name, numbers in measured.items():
            layer = f"{name} {kinds[name]}"  # a bare `1.10` would be read as a number
            found |= {(layer, network, statistic): part for statistic, part in zip(STATISTICS, numbers, strict=True)}
    return found


def layer_table(
    networks: list[dict[Key, np.ndarray]],
    images: Tensor,
    labels: np.ndarray,
    clusters: np.ndarray,
    settings: LayerSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """COLUMNS, then SUMMARY and cells; networks: of `layers_by_band`, on these images (N, C, H, W) with labels (N,).

    relative: mean density of the layer in the band over that of the image, on the coefficients that the layer's grid
    holds; passed: mean share of the band in the layer over that in the image (both defined at
    `layers.spectrum_by_layer`). Ratios of means over images, computed network by network. cycles: mean frequency of the
    band, cycles per longer side. Bands above a layer's grid have no row `relative`; nor has one without a value.
    """
    height, width = images.shape[-2:]
    index = bands_of(images[: settings.n_images], settings.partition, settings.bands)
    frequency = mean_by_band(cycles_per_side(height, width, "dct", "linf"), index).numpy()[1:]
    band, groups = np.arange(1, 1 + len(frequency)), image_groups(clusters, labels, statistics.groups)
    names = group_names(groups, clusters)
    tables = []
    for layer, network, statistic in networks[0]:
        pairs = np.stack([found[layer, network, statistic] for found in networks])  # (S, N, bands - 1, 2)
        there = np.isfinite(pairs).all(3).any((0, 1))
        estimates = relative_to_image(pairs[:, :, there], groups, names)
        front = {"layer": layer, "network": network, "statistic": statistic}
        tables.append(cells.rows({**front, "band": band[there], "cycles": frequency[there]}, estimates, statistics))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def no_layers() -> pd.DataFrame:
    """The table of a study that leaves layers out: its columns, no row."""
    return pd.DataFrame(columns=[*COLUMNS, *SUMMARY])
