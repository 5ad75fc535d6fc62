"""Tables of one run: its methods' curves and summaries, their faithfulness, and their sanity.

The input are the tables that the stage `attribution` wrote, with a column seed, and the cluster of every test image.
Every row ends in SUMMARY (`statistics.estimates`). DC is a band of its own and left out of everything but the curves.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from spectroscope.attribution.summaries import centroid, hf_share
from spectroscope.attribution.tables import band_columns
from spectroscope.statistics.estimates import (
    Estimates,
    StatisticsSettings,
    from_replicates,
    grid,
    means,
    subtract,
    summary,
)
from spectroscope.validation.agreement import correlation
from spectroscope.validation.curves import clusters_of, groups_of_images, mean_curves, numbers

YARDSTICK = "energy"  # the order that every other order of deletion and insertion is compared with


def compared_positions(bands: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Position (0..1) of each of the compared bands, the same for every seed."""
    rows = bands.sort_values(["seed"], kind="stable").head(len(band_columns(table)))
    return rows["position"].to_numpy()


def methods(
    run: str, values: pd.DataFrame, bands: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings
) -> pd.DataFrame:
    """Mean attribution of each band by every method: run, method, band, position, then SUMMARY."""
    tables = []
    for method, table in values.groupby("method", sort=False):
        position = compared_positions(bands, table)
        front = {"run": run, "method": method, "band": range(len(position)), "position": position}
        of_bands = means(grid(table, band_columns(table)), clusters_of(table, clusters))
        tables.append(pd.DataFrame({**front, **summary(of_bands, settings)}))
    return pd.concat(tables, ignore_index=True)


def method_summaries(
    run: str,
    values: pd.DataFrame,
    bands: pd.DataFrame,
    hf_from: float,
    clusters: np.ndarray,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """hf_share, centroid (0 = DC, 1 = highest), error and beyond of each method: run, method, statistic, then SUMMARY.

    beyond: share of images whose error is larger than the method's tolerance; only for methods that have one.
    """
    tables = []
    for method, table in values.groupby("method", sort=False):
        position, own = compared_positions(bands, table), clusters_of(table, clusters)
        groups, _ = groups_of_images(table, clusters, settings)
        curves = mean_curves(grid(table, band_columns(table)), groups)
        shapes = np.stack([hf_share(curves, position, hf_from), centroid(curves, position)], -1)
        found = {
            ("hf_share", "centroid"): from_replicates(shapes, len(groups), bounds=(0, 1)),
            ("error",): means(grid(table, ["error"]), own, bounds=(0, np.inf)),
        }
        if table["beyond"].notna().any():
            found["beyond",] = means(grid(table, ["beyond"]), own, share=True)
        for names, estimates in found.items():
            front = {"run": run, "method": method, "statistic": names}
            tables.append(pd.DataFrame({**front, **summary(estimates, settings)}))
    return pd.concat(tables, ignore_index=True)


def faithfulness(run: str, curves: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings) -> pd.DataFrame:
    """Mean of each deletion and insertion curve (trapezoid, steps evenly spaced), and how it differs from YARDSTICK.

    Rows run, order, unit, kind, less_energy, less_energy_low, less_energy_high, then SUMMARY. less_energy: the mean
    minus that of the order by energy on the same networks and images, paired; NaN for that order itself.
    """
    if curves.empty:
        return curves
    found: dict[tuple[str, str, str], Estimates] = {}
    for (order, unit, kind), table in curves.groupby(["order", "unit", "kind"], sort=False):
        steps = table[[name for name in table if name.startswith("step_")]].dropna(axis=1).to_numpy()
        area = (steps[:, 1:] + steps[:, :-1]).mean(1) / 2
        own = clusters_of(table, clusters)
        found[order, unit, kind] = means(grid(table.assign(area=area), ["area"]), own, bounds=(0, 1))
    rows = []
    for (order, unit, kind), estimates in found.items():
        less = {"less_energy": np.nan, "less_energy_low": np.nan, "less_energy_high": np.nan}
        if order != YARDSTICK:
            paired = numbers(summary(subtract(estimates, found[YARDSTICK, unit, kind]), settings))
            less = dict(zip(less, (paired["mean"], paired["low"], paired["high"]), strict=True))
        front = {"run": run, "order": order, "unit": unit, "kind": kind}
        rows.append({**front, **less, **numbers(summary(estimates, settings))})
    return pd.DataFrame(rows)


def sanity(
    run: str, before: pd.DataFrame, shuffled: pd.DataFrame, clusters: np.ndarray, settings: StatisticsSettings
) -> pd.DataFrame:
    """Rank correlation of each image's bands before and after shuffling: run, method, shuffled, share, then SUMMARY.

    before: the values of the run's own networks, on the same images and draws. shuffled: the values after it, with the
    columns shuffled (`nothing`, `weights`, or `labels` of the training images) and share. Networks are paired by seed;
    a seed that one of the two lacks is left out.
    """
    rows = []
    if shuffled.empty:
        return shuffled
    for (method, kind, share), after in shuffled.groupby(["method", "shuffled", "share"], sort=False):
        bands, keys = band_columns(after)[1:], ["seed", "image"]
        pairs = before[before["method"] == method].merge(after, on=keys, suffixes=("", "_after"))
        both = (pairs[bands], pairs[[f"{name}_after" for name in bands]])
        rho = correlation(*(rankdata(table.to_numpy(), axis=-1) for table in both))
        table = pairs[keys].assign(rho=rho)
        estimates = means(grid(table, ["rho"]), clusters_of(table, clusters), bounds=(-1, 1))
        front = {"run": run, "method": method, "shuffled": kind, "share": share}
        rows.append({**front, **numbers(summary(estimates, settings))})
    return pd.DataFrame(rows)
