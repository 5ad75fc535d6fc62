"""Tables of one run: its methods' curves and summaries, their faithfulness, and their sanity.

The input are the tables that the stage `attribution` wrote, with a column seed; stream: the number of the run, which
picks its stream of drawn seeds. Every row ends in mean, low, high, n_images, n_seeds; the interval is a bootstrap over
seeds and images. DC is a band of its own and left out of everything but the curves.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from spectroscope.attribution.compare import band_columns
from spectroscope.attribution.summaries import centroid, hf_share
from spectroscope.statistics.bootstrap import StatisticsSettings, grid, means, summary
from spectroscope.validation.agreement import correlation


def compared_positions(bands: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Position (0..1) of each of the compared bands, whose rows come first in the table of bands."""
    rows = bands.sort_values(["seed"], kind="stable").head(len(band_columns(table)))
    return rows["position"].to_numpy()


def methods(
    run: str, stream: int, values: pd.DataFrame, bands: pd.DataFrame, settings: StatisticsSettings
) -> pd.DataFrame:
    """Mean attribution of each band by every method: run, method, band, position, mean, low, high, n."""
    tables = []
    for method, table in values.groupby("method", sort=False):
        point, drawn, shape = means(grid(table, band_columns(table)), settings, stream)
        front = {"run": run, "method": method, "band": range(len(point)), "position": compared_positions(bands, table)}
        tables.append(pd.DataFrame({**front, **summary(point, drawn, shape, settings)}))
    return pd.concat(tables, ignore_index=True)


def method_summaries(
    run: str, stream: int, values: pd.DataFrame, bands: pd.DataFrame, hf_from: float, settings: StatisticsSettings
) -> pd.DataFrame:
    """hf_share, centroid (0 = DC, 1 = highest) and error of each method: run, method, statistic, mean, low, high, n."""
    rows = []
    for method, table in values.groupby("method", sort=False):
        position = compared_positions(bands, table)
        point, drawn, shape = means(grid(table, band_columns(table)), settings, stream)
        error, error_drawn, _ = means(grid(table, ["error"]), settings, stream)
        statistics = {
            "hf_share": (hf_share(point, position, hf_from), hf_share(drawn, position, hf_from)),
            "centroid": (centroid(point, position), centroid(drawn, position)),
            "error": (error[0], error_drawn[:, 0]),
        }
        for name, (mean, draws) in statistics.items():
            cell = {"run": run, "method": method, "statistic": name}
            rows.append({**cell, **summary(mean, draws, shape, settings)})
    return pd.DataFrame(rows)


def faithfulness(run: str, stream: int, curves: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """Mean of each deletion and insertion curve (trapezoid, steps evenly spaced): run, order, unit, kind, mean, ..."""
    rows = []
    if curves.empty:
        return curves
    for (order, unit, kind), table in curves.groupby(["order", "unit", "kind"], sort=False):
        steps = table[[name for name in table if name.startswith("step_")]].dropna(axis=1).to_numpy()
        area = (steps[:, 1:] + steps[:, :-1]).mean(1) / 2
        point, drawn, shape = means(grid(table.assign(area=area), ["area"]), settings, stream)
        cell = {"run": run, "order": order, "unit": unit, "kind": kind}
        rows.append({**cell, **summary(point[0], drawn[:, 0], shape, settings)})
    return pd.DataFrame(rows)


def sanity(
    run: str, stream: int, values: pd.DataFrame, shuffled: pd.DataFrame, settings: StatisticsSettings
) -> pd.DataFrame:
    """Rank correlation of each image's bands before and after shuffling: run, method, shuffled, share, mean, ...

    shuffled: the values after it, with the columns shuffled (`weights`, or `labels` of the training images) and share.
    """
    rows = []
    if shuffled.empty:
        return shuffled
    for (method, kind, share), after in shuffled.groupby(["method", "shuffled", "share"], sort=False):
        bands, keys = band_columns(after)[1:], ["seed", "image"]
        before = values[(values["method"] == method) & values["image"].isin(after["image"])].sort_values(keys)
        after = after.sort_values(keys)
        rho = correlation(*(rankdata(table[bands].to_numpy(), axis=-1) for table in (before, after)))
        point, drawn, shape = means(grid(before[keys].assign(rho=rho), ["rho"]), settings, stream)
        cell = {"run": run, "method": method, "shuffled": kind, "share": share}
        rows.append({**cell, **summary(point[0], drawn[:, 0], shape, settings)})
    return pd.DataFrame(rows)
