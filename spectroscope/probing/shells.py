"""Shells and bands of images in the DCT, means of coefficients in them, and their rows in a table."""

import pandas as pd
from torch import Tensor

from spectroscope.frequency.partitions import Partition, mean_by_band, mean_power, partition
from spectroscope.frequency.spectrum import shells
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import Estimates, StatisticsSettings


def bands_of(images: Tensor, kind: Partition, bands: int | None) -> Tensor:
    """Band of each DCT coefficient, those of equal energy by the power of these images: (N, C, H, W) -> (H, W)."""
    power = mean_power(images, "dct").cpu() if kind == "equal_energy" else None
    return partition(images.shape[-2], images.shape[-1], kind, bands, "dct", power)


def shell_means(maps: Tensor) -> Tensor:
    """Mean over the DCT coefficients of each l-inf shell: (N, H, W) -> (N, shells)."""
    return mean_by_band(maps, shells(maps.shape[-2], maps.shape[-1]))


def shell_table(column: str, found: dict[str, Estimates], statistics: StatisticsSettings) -> pd.DataFrame:
    """`column`, shell, SUMMARY, cells: of estimates (shells) by name, the values of `column`."""
    tables = []
    for name, estimates in found.items():
        front = {column: name, "shell": range(estimates.by_network.shape[1])}
        tables.append(cells.rows(front, estimates, statistics))
    return pd.concat(tables, ignore_index=True)
