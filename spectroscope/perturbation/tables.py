"""Tables of what perturbations change: maps, profiles by shell, calibrated scores, and how stable each estimator is.

units (N, 2): seed and image of each perturbation; the bootstrap draws both, crossed. `mean` is the statistic on all
perturbations. n_images counts perturbations (an image fooled for three seeds counts three times).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.bootstrap import StatisticsSettings, interval
from spectroscope.frequency import channels
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import shells
from spectroscope.perturbation import null as control
from spectroscope.perturbation import rct, shares
from spectroscope.perturbation.settings import ESTIMATORS, Estimator, PerturbationSettings
from spectroscope.pipeline import machine

LINEAR: tuple[Estimator, ...] = ("mean_of_ratios", "ratio_of_means")  # a draw is one matrix product


@dataclass(frozen=True)
class Null:
    """Norm-matched noise of a set of perturbations: power (N, H, W), the mean over draws, and that of each draw.

    totals (draws, H, W): power summed over the perturbations.
    """

    power: Tensor
    totals: Tensor


def null(clean: Tensor, perturbations: Tensor, settings: PerturbationSettings) -> Null:
    """The null: the control's own stream of random numbers is `noise_seed`, this one is beside it."""
    generator = machine.generator(settings.noise_seed, 1)
    draws = control.null_power(clean, perturbations, settings.channels, settings.noise_draws, generator)
    mean, totals = 0.0, []
    for draw in draws:
        totals.append(draw.sum(0, dtype=torch.float64))
        mean = mean + draw / settings.noise_draws
    return Null(mean, torch.stack(totals))


def resampled_weights(units: np.ndarray, resamples: int, statistics: StatisticsSettings) -> Tensor:
    """How often each perturbation counts in each draw: (resamples, N), its seed's times its image's; never all 0."""
    _, seed = np.unique(units[:, 0], return_inverse=True)
    _, image = np.unique(units[:, 1], return_inverse=True)
    rng = np.random.default_rng(statistics.seed)
    weights = []
    while len(weights) < resamples:
        times = [np.bincount(rng.integers(0, n := part.max() + 1, n), minlength=n)[part] for part in (seed, image)]
        if (times[0] * times[1]).any():
            weights.append(times[0] * times[1])
    return torch.from_numpy(np.stack(weights))


@dataclass(frozen=True)
class Maps:
    """One statistic of every coefficient: on all perturbations (H, W) and in each draw (draws, H, W)."""

    whole: Tensor
    drawn: Tensor


def estimated(
    clean: Tensor,
    perturbations: Tensor,
    units: np.ndarray,
    estimators: tuple[Estimator, ...],
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> dict[str, Maps]:
    """Relative change of every coefficient by each estimator."""
    change, reference = rct.spectra(clean, clean + perturbations, settings.channels)
    weights = _weights(units, settings, statistics).to(change.dtype)
    weights = weights.repeat_interleave(len(change) // len(clean), 1)  # a row for each channel
    found = {name: rct.relative_change(change, reference, name, weights) for name in estimators}
    return {name: Maps(drawn[0], drawn[1:]) for name, drawn in found.items()}


def scored(
    perturbations: Tensor, against: Null, units: np.ndarray, settings: PerturbationSettings, stats: StatisticsSettings
) -> Maps:
    """Calibrated score of every coefficient."""
    drawn = _scores(control.power(perturbations, settings.channels), against.power, units, settings, stats)
    return Maps(drawn[0], _widened(drawn, control.null_spread(against.totals), settings, stats)[1:])


def map_rows(maps: dict[str, Maps], units: np.ndarray, statistics: StatisticsSettings) -> pd.DataFrame:
    """Rows estimator, u, v, mean, low, high, n_images, n_seeds."""
    tables = []
    for name, each in maps.items():
        u, v = np.indices(each.whole.shape).reshape(2, -1)
        low, high = interval(each.drawn.flatten(1).numpy(), statistics)
        values = {"mean": each.whole.flatten().numpy(), "low": low, "high": high}
        tables.append(pd.DataFrame({"estimator": name, "u": u, "v": v, **values}))
    return _counted(pd.concat(tables, ignore_index=True), units)


def profile(
    perturbations: Tensor,
    maps: dict[str, Maps],
    units: np.ndarray,
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """Power share and relative change by shell: shape, measure, shell, mean, low, high, n_images, n_seeds.

    The relative change of a shell is the mean of its coefficients'.
    """
    weights, tables = _weights(units, settings, statistics), []
    for shape in settings.shapes:
        index = shells(*perturbations.shape[-2:], shape)
        share = shares.power_by_shell(channels.seen(perturbations, settings.channels), index).double()
        curves = {"power": weights.double() @ share / weights.sum(1, keepdim=True)}
        for name, each in maps.items():
            curves[name] = shares.mean_by_shell(torch.cat([each.whole[None], each.drawn]), index)
        tables += [_shell_rows(curve, statistics).assign(shape=shape, statistic=name) for name, curve in curves.items()]
    return _counted(pd.concat(tables)[["shape", "statistic", "shell", "mean", "low", "high"]], units)


def calibrated(
    perturbations: Tensor, against: Null, units: np.ndarray, settings: PerturbationSettings, stats: StatisticsSettings
) -> pd.DataFrame:
    """Calibrated score by shell: shape, shell, z, null, mean, low, high, n_images, n_seeds.

    null: the standard deviation of noise's score against noise; z: the score in units of it. Power is summed over a
    shell before the logarithm. The interval is that of the seeds and images widened by the null: one image alone has
    no other width, and a score of noise on one image is not 0 either.
    """
    power, tables = control.power(perturbations, settings.channels), []
    for shape in settings.shapes:
        index = shells(*perturbations.shape[-2:], shape)
        sums = by_band(power, index), by_band(against.power, index)
        spread = control.null_spread(by_band(against.totals, index))
        rows = _shell_rows(_widened(_scores(*sums, units, settings, stats), spread, settings, stats), stats)
        tables.append(rows.assign(shape=shape, null=spread.numpy(), z=rows["mean"] / spread.numpy()))
    return _counted(pd.concat(tables)[["shape", "shell", "z", "null", "mean", "low", "high"]], units)


def by_class(
    clean: Tensor,
    perturbations: Tensor,
    against: Null,
    units: np.ndarray,
    labels: Tensor,
    classes: tuple[str, ...],
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """Relative change (its linear estimators) and score of each class, by shells of the first shape.

    class, measure, shell, mean, low, high, n_images, n_seeds; classes with no perturbation are left out. Intervals are
    over seeds and images alone.
    """
    tables, index = [], shells(*clean.shape[-2:], settings.shapes[0])
    power = by_band(control.power(perturbations, settings.channels), index)
    noise = by_band(against.power, index)
    for number, name in enumerate(classes):
        rows = (labels == number).nonzero()[:, 0]
        if not len(rows):
            continue
        own = units[rows.numpy()]
        maps = estimated(clean[rows], perturbations[rows], own, LINEAR, settings, statistics)
        curves = {
            measure: shares.mean_by_shell(torch.cat([each.whole[None], each.drawn]), index)
            for measure, each in maps.items()
        }
        curves["score"] = _scores(power[rows], noise[rows], own, settings, statistics)
        for measure, curve in curves.items():
            table = _shell_rows(curve, statistics).assign(statistic=measure, **{"class": name})
            tables.append(_counted(table[["class", "statistic", "shell", "mean", "low", "high"]], own))
    return pd.concat(tables, ignore_index=True)


def phases(
    clean: Tensor,
    perturbations: Tensor,
    units: np.ndarray,
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """Share of a shell's changed power that turns phases: shell (of the DFT), mean, low, high, n_images, n_seeds."""
    seen = channels.seen(clean, settings.channels), channels.seen(perturbations, settings.channels)
    index = shells(*clean.shape[-2:], settings.shapes[0], "dft")
    phase, amplitude = (by_band(part, index).double() for part in shares.phase_and_amplitude(*seen))
    weights = _weights(units, settings, statistics).double()
    turned = weights @ phase
    return _counted(_shell_rows(turned / (turned + weights @ amplitude), statistics), units)


def agreement(
    clean: Tensor,
    perturbations: Tensor,
    against: Null,
    units: np.ndarray,
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """How far two halves of the images disagree: estimator, mean, low, high, n_images, n_seeds; NaN for a single image.

    For each estimator the median over coefficients of |a - b| / ((a + b) / 2), and for the score of |a - b| (a
    difference of logarithms is relative already). The mean and the percentile interval over `splits` random halvings;
    all perturbations of an image are in one half.
    """
    change, reference = rct.spectra(clean, clean + perturbations, settings.channels)
    power = control.power(perturbations, settings.channels).flatten(1)
    images = np.unique(units[:, 1])
    rng = np.random.default_rng([statistics.seed, 2])
    gaps = []
    for _ in range(settings.splits if len(images) > 1 else 0):
        first = np.isin(units[:, 1], rng.permutation(images)[: len(images) // 2])
        halves = torch.from_numpy(np.stack([first, ~first])).to(change.dtype)
        rows = halves.repeat_interleave(len(change) // len(clean), 1)
        pairs = [rct.relative_change(change, reference, name, rows).flatten(1) for name in ESTIMATORS]
        gap = [((a - b).abs() / ((a + b) / 2)).nanmedian().item() for a, b in pairs]
        a, b = control.score(halves @ power, halves @ against.power.flatten(1))
        gaps.append([*gap, (a - b).abs().nanmedian().item()])
    gaps = np.array(gaps or np.full((1, len(ESTIMATORS) + 1), np.nan))
    low, high = interval(gaps, statistics)
    rows = {"estimator": [*ESTIMATORS, "score"], "mean": gaps.mean(0), "low": low, "high": high}
    return _counted(pd.DataFrame(rows), units)


def _weights(units: np.ndarray, settings: PerturbationSettings, statistics: StatisticsSettings) -> Tensor:
    """Every perturbation once, then the draws: (1 + resamples, N)."""
    drawn = resampled_weights(units, settings.resamples, statistics)
    return torch.cat([torch.ones_like(drawn[:1]), drawn])


def _scores(
    attack: Tensor, noise: Tensor, units: np.ndarray, settings: PerturbationSettings, statistics: StatisticsSettings
) -> Tensor:
    """Score of all perturbations, then of each draw, from their power: (N, ...) twice -> (1 + resamples, ...)."""
    weights = _weights(units, settings, statistics).double()
    totals = [(weights @ each.double().flatten(1)).unflatten(1, each.shape[1:]) for each in (attack, noise)]
    return control.score(*totals)


def _widened(scores: Tensor, spread: Tensor, settings: PerturbationSettings, statistics: StatisticsSettings) -> Tensor:
    """Scores with the null's spread added to each draw: (1 + draws, ...), (...) -> (1 + draws, ...).

    The spread is estimated from few draws of noise, so it comes as a t variable of as many degrees of freedom less 1.
    """
    rng = np.random.default_rng([statistics.seed, 6])
    noise = torch.from_numpy(rng.standard_t(settings.noise_draws - 1, scores[1:].shape))
    return torch.cat([scores[:1], scores[1:] + spread * noise])


def _shell_rows(curves: Tensor, statistics: StatisticsSettings) -> pd.DataFrame:
    """Rows shell, mean, low, high from the statistic on everything and its draws: (1 + draws, shells)."""
    low, high = interval(curves[1:].numpy(), statistics)
    return pd.DataFrame({"shell": range(curves.shape[1]), "mean": curves[0].numpy(), "low": low, "high": high})


def _counted(table: pd.DataFrame, units: np.ndarray) -> pd.DataFrame:
    return table.assign(n_images=len(units), n_seeds=len(np.unique(units[:, 0])))
