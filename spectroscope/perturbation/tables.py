"""Tables of the perturbations that one attack found on one run, and of their control.

Every row ends in mean, low, high, n_images, n_seeds. `mean` is the statistic on all perturbations, low and high its
bootstrap interval over seeds and images. n_images counts perturbations: an image fooled for three seeds counts thrice.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from spectroscope.frequency.partitions import by_band, mean_by_band
from spectroscope.frequency.spectrum import Shape, shells
from spectroscope.perturbation.null import Null, floored, matched_noise, noise_null, null_spread, scores, widened
from spectroscope.perturbation.phase import phase_share
from spectroscope.perturbation.rct import ESTIMATORS, LINEAR, relative_change
from spectroscope.perturbation.spectra import PerturbationSettings, Spectra, compute_spectra, subset, with_perturbations
from spectroscope.perturbation.split_half import split_half_gaps
from spectroscope.pipeline import machine
from spectroscope.pipeline.io import Images
from spectroscope.statistics import bootstrap
from spectroscope.statistics.bootstrap import StatisticsSettings

TABLES = ("maps", "perturbation", "calibrated", "phase", "classes", "split_half")


def measure(
    test: Images,
    perturbations: Tensor,
    outcomes: pd.DataFrame,
    settings: PerturbationSettings,
    statistics: StatisticsSettings,
) -> dict[str, pd.DataFrame]:
    """Each of TABLES by its name, with the column source: attack or control; {} where the attack fooled no network.

    perturbations, outcomes: those of `io.read_attack`; only successes among the first `n_images` images are used. The
    control, one draw of norm-matched noise, is analysed as the attack is, its score against the other draws included:
    what its rows show is due to noise. It has no rows by class and no split halves.
    """
    fooled = outcomes.index[outcomes["success"] & (outcomes["image"] < settings.n_images)].to_numpy(copy=True)
    if not len(fooled):
        return {}
    units = outcomes.loc[fooled, ["seed", "image"]].to_numpy(copy=True)
    clean, labels, change = test.pixels[units[:, 1]], test.labels[units[:, 1]], perturbations[fooled]
    noise = matched_noise(clean, change, machine.generator(settings.noise_seed))
    null = noise_null(clean, change, settings)
    attack = compute_spectra(clean, change, units, settings, statistics)
    tables = {
        "attack": {
            **_source_tables(attack, null),
            "classes": class_table(attack, null, labels, test.classes),
            "split_half": _rows(split_half_gaps(attack, null), attack, estimator=[*ESTIMATORS, "score"]),
        },
        "control": _source_tables(with_perturbations(attack, clean, noise), null),
    }
    for source, by_name in tables.items():
        for table in by_name.values():
            table.insert(0, "source", source)
    sources = tables.values()
    return {name: pd.concat([own[name] for own in sources if name in own], ignore_index=True) for name in TABLES}


def _source_tables(spectra: Spectra, null: Null) -> dict[str, pd.DataFrame]:
    """The tables that the attack and its control have in common."""
    changes: dict[str, Tensor] = {name: relative_change(spectra, name, spectra.weights) for name in ESTIMATORS}
    return {
        "maps": map_table(changes | {"score": coefficient_scores(spectra, null)}, spectra),
        "perturbation": profile_table(changes, spectra),
        "calibrated": calibrated_table(spectra, null),
        "phase": phase_table(spectra),
    }


def coefficient_scores(spectra: Spectra, null: Null) -> Tensor:
    """Calibrated score of every coefficient: replicates (1 + resamples, H, W)."""
    replicates = scores(floored(spectra.power), null.power, spectra.weights)
    return widened(replicates, null_spread(null.totals), len(null.totals), spectra.statistics)


def map_table(maps: dict[str, Tensor], spectra: Spectra) -> pd.DataFrame:
    """Rows estimator, u, v of replicates (1 + resamples, H, W) of each estimator."""
    u, v = np.indices(spectra.power.shape[1:]).reshape(2, -1)
    tables = [_rows(replicates.flatten(1), spectra, estimator=name, u=u, v=v) for name, replicates in maps.items()]
    return pd.concat(tables, ignore_index=True)


def profile_table(maps: dict[str, Tensor], spectra: Spectra) -> pd.DataFrame:
    """Rows shape, statistic, shell: share of a perturbation's power in each shell, and relative change by shell.

    The relative change of a shell is the mean of its coefficients'.
    """
    tables, weights = [], spectra.weights
    for shape, index in _shells(spectra):
        share = power_share(spectra.power, index).double()
        curves = {"power": weights.double() @ share / weights.sum(1, keepdim=True)}
        curves |= {name: mean_by_band(replicates, index) for name, replicates in maps.items()}
        tables += [_shell_rows(curve, spectra, shape=shape, statistic=name) for name, curve in curves.items()]
    return pd.concat(tables)


def power_share(power: Tensor, index: Tensor) -> Tensor:
    """Share of each perturbation's power in each shell: (N, H, W), index (H, W) of `spectrum.shells` -> (N, shells).

    Rows sum to 1; the row of a perturbation that is zero is NaN.
    """
    by_shell = by_band(power, index)
    return by_shell / by_shell.sum(1, keepdim=True)


def calibrated_table(spectra: Spectra, null: Null) -> pd.DataFrame:
    """Rows shape, shell, z, null: calibrated score by shell.

    null: the standard deviation of noise's score against noise; z: the score in units of it. Power is summed over a
    shell before the logarithm. The interval over seeds and images is widened by the null: for a single image it has no
    other width, and the score of noise on one image is not exactly 0 either.
    """
    power, tables = floored(spectra.power), []
    for shape, index in _shells(spectra):
        replicates = scores(by_band(power, index), by_band(null.power, index), spectra.weights)
        spread = null_spread(by_band(null.totals, index))
        table = _shell_rows(widened(replicates, spread, len(null.totals), spectra.statistics), spectra, shape=shape)
        at = table.columns.get_loc("mean")  # mean, low, high, n_images and n_seeds stay last
        table.insert(at, "z", table["mean"] / spread.numpy())
        table.insert(at + 1, "null", spread.numpy())
        tables.append(table)
    return pd.concat(tables)


def phase_table(spectra: Spectra) -> pd.DataFrame:
    """Rows shell (of the DFT): share of a shell's changed power that turns phases."""
    height, width = spectra.power.shape[1:]
    index = shells(height, width, spectra.settings.shapes[0], "dft")
    return _shell_rows(phase_share(spectra.images, spectra.perturbations, index, spectra.weights), spectra)


def class_table(spectra: Spectra, null: Null, labels: Tensor, classes: tuple[str, ...]) -> pd.DataFrame:
    """Rows class, statistic, shell: relative change (LINEAR estimators) and score by shell of the first shape.

    Classes without a perturbation are left out. Intervals are over seeds and images alone.
    """
    tables, (_, index) = [], next(_shells(spectra))
    power, noise = by_band(floored(spectra.power), index), by_band(null.power, index)
    for number, name in enumerate(classes):
        rows = (labels == number).nonzero()[:, 0]
        if not len(rows):
            continue
        own = subset(spectra, rows)
        curves: dict[str, Tensor] = {
            estimator: mean_by_band(relative_change(own, estimator, own.weights), index) for estimator in LINEAR
        }
        curves["score"] = scores(power[rows], noise[rows], own.weights)
        tables += [_shell_rows(curve, own, **{"class": name}, statistic=key) for key, curve in curves.items()]
    return pd.concat(tables, ignore_index=True)


def _shells(spectra: Spectra) -> Iterator[tuple[Shape, Tensor]]:
    """Each shape of the settings with the shell of every DCT coefficient (H, W)."""
    height, width = spectra.power.shape[1:]
    return ((shape, shells(height, width, shape)) for shape in spectra.settings.shapes)


def _shell_rows(replicates: Tensor, spectra: Spectra, **columns: Any) -> pd.DataFrame:
    return _rows(replicates, spectra, **columns, shell=range(replicates.shape[1]))


def _rows(replicates: Tensor, spectra: Spectra, **columns: Any) -> pd.DataFrame:
    """A row for each of K statistics, replicates (1 + resamples, K), with these columns before mean, low, high."""
    shape, (point, drawn) = (len(np.unique(spectra.units[:, 0])), len(spectra.units)), (replicates[0], replicates[1:])
    return pd.DataFrame({**columns, **bootstrap.summary(point.numpy(), drawn.numpy(), shape, spectra.statistics)})
