"""What the measures of reliance come to and how good they are: faithfulness, sanity, truth, choices.

Tables in, tables out: each of one run, with a column `seed`, as the stage `attribute` wrote them. Every row ends in
mean, low, high, n_images, n_seeds; the interval is a bootstrap over seeds and images, unless said otherwise. DC is a
band of its own and left out of everything but curves by band.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, rankdata

from spectroscope import bootstrap as stats
from spectroscope.bootstrap import StatisticsSettings, grid
from spectroscope.validation.agreement import bands as bands_in
from spectroscope.validation.agreement import correlation, ratio

NORMALISATIONS = ("raw", "per_coefficient", "per_energy")
CHOICES = ["basis", "shape", "baseline", "score", "clip"]


def hf_share(curves: np.ndarray, position: np.ndarray, hf_from: float) -> np.ndarray:
    """Share of the positive part above DC in bands whose mean frequency is at least hf_from: (..., B) -> (...)."""
    positive = curves[..., 1:].clip(min=0)
    return ratio(positive[..., position[1:] >= hf_from].sum(-1), positive.sum(-1))


def centroid(curves: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Centre of mass of the positive part above DC in mean frequency, 0 (DC) to 1: (..., B) -> (...)."""
    positive = curves[..., 1:].clip(min=0)
    return ratio((positive * position[1:]).sum(-1), positive.sum(-1))


def curves(
    run: str, stream: int, values: pd.DataFrame, bands: pd.DataFrame, settings: StatisticsSettings
) -> pd.DataFrame:
    """Mean over images of every measure: run, method, band, position, mean, low, high, n."""
    rows = []
    for method, part in values.groupby("method", sort=False):
        point, drawn, shape = _means(part, bands_in(part), settings, stream)
        low, high = stats.interval(drawn, settings)
        columns = {"mean": point, "low": low, "high": high}
        front = {
            "run": run,
            "method": method,
            "band": range(len(point)),
            "position": _of(bands, part)["position"].to_numpy(),
        }
        rows.append(pd.DataFrame({**front, **columns}).assign(n_images=shape[1], n_seeds=shape[0]))
    return pd.concat(rows, ignore_index=True)


def reliance(
    run: str, stream: int, values: pd.DataFrame, bands: pd.DataFrame, hf_from: float, settings: StatisticsSettings
) -> pd.DataFrame:
    """High-frequency share and centroid of every measure, and its error: run, method, measure, mean, low, high, n."""
    rows = []
    for method, part in values.groupby("method", sort=False):
        position = _of(bands, part)["position"].to_numpy()
        point, drawn, shape = _means(part, bands_in(part), settings, stream)
        found = {
            "hf_share": (hf_share(point, position, hf_from), hf_share(drawn, position, hf_from)),
            "centroid": (centroid(point, position), centroid(drawn, position)),
        }
        error, errors, _ = _means(part, ["error"], settings, stream)
        found["error"] = (error[0], errors[:, 0])
        for measure, (mean, draws) in found.items():
            cell = {"run": run, "method": method, "statistic": measure}
            rows.append({**cell, **stats.summary(mean, draws, shape, settings)})
    return pd.DataFrame(rows)


def faithfulness(run: str, stream: int, table: pd.DataFrame, settings: StatisticsSettings) -> pd.DataFrame:
    """Mean of each deletion and insertion curve (trapezoid, steps evenly spaced): run, order, unit, kind, mean, ..."""
    rows = []
    if table.empty:
        return table
    for (order, unit, kind), part in table.groupby(["order", "unit", "kind"], sort=False):
        steps = part[[name for name in part if name.startswith("step_")]].dropna(axis=1).to_numpy()
        area = (steps[:, 1:] + steps[:, :-1]).mean(1) / 2
        point, drawn, shape = _means(part.assign(area=area), ["area"], settings, stream)
        cell = {"run": run, "order": order, "unit": unit, "kind": kind}
        rows.append({**cell, **stats.summary(point[0], drawn[:, 0], shape, settings)})
    return pd.DataFrame(rows)


def sanity(
    run: str, stream: int, values: pd.DataFrame, table: pd.DataFrame, settings: StatisticsSettings
) -> pd.DataFrame:
    """Rank correlation of each image's bands before and after something is shuffled: run, method, shuffled, share, ...

    table: the values after it, with the columns shuffled (`weights`, or `labels` of the training images) and share.
    """
    rows = []
    if table.empty:
        return table
    for (method, shuffled, share), part in table.groupby(["method", "shuffled", "share"], sort=False):
        names, keys = bands_in(part)[1:], ["seed", "image"]
        trained = values[(values["method"] == method) & values["image"].isin(part["image"])].sort_values(keys)
        part = part.sort_values(keys)
        ranks = [rankdata(each[names].to_numpy(), axis=-1) for each in (trained, part)]
        found = trained[keys].assign(rho=correlation(*ranks))
        point, drawn, shape = _means(found, ["rho"], settings, stream)
        cell = {"run": run, "method": method, "shuffled": shuffled, "share": share}
        rows.append({**cell, **stats.summary(point[0], drawn[:, 0], shape, settings)})
    return pd.DataFrame(rows)


def recovery(
    run: str,
    values: pd.DataFrame,
    bands: pd.DataFrame,
    interventions: pd.DataFrame,
    planted: list[tuple[float, float]],
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """Does each measure name a planted band, and does removing what it names hurt? One row for each method.

    run, method, hurt_named, hurt_other (accuracy lost without the band named; without an equal energy of the others),
    hurts_more (share of seeds where the former is larger), mean (share of seeds whose top band above DC is planted),
    low, high (Clopper-Pearson over seeds), n_images, n_seeds. planted: lowest and highest frequency of each cue, in
    units of `position`; a band is planted where its position lies within one.
    """
    accuracy = interventions.groupby(["seed", "band"])[["right", "right_without", "right_other"]].mean()
    hurt = -accuracy[["right_without", "right_other"]].sub(accuracy["right"], axis=0)
    rows = []
    for method, part in values.groupby("method", sort=False):
        names, position = bands_in(part), _of(bands, part)["position"].to_numpy()
        truth = [k for k, at in enumerate(position) if any(low <= at <= high for low, high in planted)]
        mean = part.groupby("seed")[names[1:]].mean()
        top = mean.to_numpy().argmax(1) + 1
        lost = np.array([hurt.loc[(seed, band)].to_numpy() for seed, band in zip(mean.index, top, strict=True)])
        right = int(np.isin(top, truth).sum())
        level = binomtest(right, len(top)).proportion_ci(settings.confidence, "exact")
        cell = {"hurt_named": lost[:, 0].mean(), "hurt_other": lost[:, 1].mean()}
        cell |= {"hurts_more": (lost[:, 0] > lost[:, 1]).mean(), "mean": right / len(top)}
        ends = {"low": level.low, "high": level.high, "n_images": part["image"].nunique(), "n_seeds": len(top)}
        rows.append({"run": run, "method": method, **cell, **ends})
    return pd.DataFrame(rows)


def multiverse(
    tables: dict[str, pd.DataFrame],
    bands: pd.DataFrame,
    hf_from: float,
    reference: str,
    settings: StatisticsSettings,
) -> pd.DataFrame:
    """Every run less the reference under every combination of choices.

    Rows: run, reference, measure (hf_share, centroid), the five choices, normalisation (raw, per_coefficient,
    per_energy: divided by the size or mean energy of the band), mean, low, high, n_images, n_seeds.
    """
    found = {
        run: _choices(stream, table, bands, hf_from, settings) for stream, (run, table) in enumerate(tables.items())
    }
    rows = []
    for run, cells in found.items():
        if run == reference:
            continue
        for key, (point, drawn, shape) in cells.items():
            base = found[reference][key]
            front = dict(zip([*CHOICES, "normalisation", "statistic"], key, strict=True))
            figures = stats.summary(point - base[0], drawn - base[1], shape, settings)
            rows.append({"run": run, "reference": reference, **front, **figures})
    return pd.DataFrame(rows)


def signs(multiverse: pd.DataFrame) -> pd.DataFrame:
    """How far the choices agree: run, measure, n_choices, median, same_sign (of the majority), sure (0 left out)."""
    rows = []
    if multiverse.empty:
        return multiverse
    for (run, measure), part in multiverse.groupby(["run", "statistic"], sort=False):
        there = part.dropna(subset=["mean"])
        positive = (there["mean"] > 0).mean()
        sure = ((there["low"] > 0) | (there["high"] < 0)).mean()
        cell = {"run": run, "statistic": measure, "n_choices": len(there), "median": there["mean"].median()}
        rows.append({**cell, "same_sign": max(positive, 1 - positive), "sure": sure})
    return pd.DataFrame(rows)


def _choices(
    stream: int, table: pd.DataFrame, bands: pd.DataFrame, hf_from: float, settings: StatisticsSettings
) -> dict:
    """Both summaries of each combination: {choices, normalisation, measure: (point, draws, shape)}."""
    found = {}
    for key, part in table.groupby(CHOICES, sort=False):
        about = bands[(bands["basis"] == key[0]) & (bands["shape"] == key[1])].sort_values("band")
        about = about.drop_duplicates("band")
        position, names = about["position"].to_numpy(), [f"band_{k}" for k in range(len(about))]
        point, drawn, shape = _means(part, names, settings, stream)
        weights = {
            "raw": 1.0,
            "per_coefficient": 1 / about["size"].to_numpy(),
            "per_energy": 1 / about["energy"].to_numpy(),
        }
        for normalisation in NORMALISATIONS:
            one, many = (each * weights[normalisation] for each in (point, drawn))
            shares = hf_share(one, position, hf_from), hf_share(many, position, hf_from)
            found[(*key, normalisation, "hf_share")] = (*shares, shape)
            found[(*key, normalisation, "centroid")] = (centroid(one, position), centroid(many, position), shape)
    return found


def _means(table: pd.DataFrame, columns: list[str], settings: StatisticsSettings, stream: int) -> tuple:
    """Mean over images and seeds (K,), its draws (resamples, K), and the shape of what it rests on."""
    values = grid(table, columns)
    groups = stats.everything(values.shape[1])
    return stats.estimate(values, groups)[0], stats.draws(values, groups, settings, stream)[:, 0], values.shape


def _of(bands: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    """The compared bands, which were described first."""
    return bands.sort_values(["seed"], kind="stable").head(len(bands_in(part)))
