"""Tables of the perturbations that one attack found on one run, and of their control.

Every row ends in SUMMARY. A statistic is computed from the perturbations of each network and averaged over networks;
its interval comes from leaving out one group of images at a time, in all networks at once. A network that the attack
never fooled does not count. n_images: images on which the attack fooled at least one network.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.frequency.partitions import by_band, mean_by_band
from spectroscope.frequency.spectrum import Shape, shells
from spectroscope.perturbation.null import Null, floored, matched_noise, noise_null, null_spread, scores
from spectroscope.perturbation.phase import phase_share
from spectroscope.perturbation.rct import ESTIMATORS, LINEAR, Estimator, relative_change
from spectroscope.perturbation.spectra import (
    PerturbationSettings,
    Spectra,
    compute_spectra,
    leave_out,
    subset,
    with_perturbations,
)
from spectroscope.perturbation.split_half import split_half_gaps
from spectroscope.pipeline import machine
from spectroscope.pipeline.io import Images
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import (
    SUMMARY,
    Estimates,
    StatisticsSettings,
    from_replicates,
    group_names,
    image_groups,
    summary,
)

TABLES = ("maps", "perturbation", "calibrated", "phase", "classes", "split_half")
# Between which a statistic lies; a score lies anywhere.
BOUNDS = {"power": (0.0, 1.0), "phase": (0.0, 1.0)} | dict.fromkeys(ESTIMATORS, (0.0, np.inf))


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
    fooled = outcomes[outcomes["success"] & (outcomes["image"] < settings.n_images)]
    if fooled.empty:
        return {}
    groups = _groups(fooled["image"].to_numpy(), test, statistics)
    names = group_names(groups, test.clusters.numpy())
    control_stream, null_stream = machine.generator(settings.noise_seed), machine.generator(settings.noise_seed, 1)
    attack, control, nulls = [], [], []
    for _, outcomes_of_network in fooled.groupby("seed"):
        rows = outcomes_of_network["image"].to_numpy(copy=True)
        clean, change = test.pixels[rows], perturbations[outcomes_of_network.index.to_numpy(copy=True)]
        noise = matched_noise(clean, change, control_stream)
        nulls.append(noise_null(clean, change, settings, null_stream))
        attack.append(compute_spectra(clean, change, rows, leave_out(groups[rows], int(groups.max()) + 1), settings))
        control.append(with_perturbations(attack[-1], clean, noise))
    tables = {
        "attack": {
            **_source_tables(attack, nulls, names, statistics),
            "classes": class_table(attack, nulls, test, statistics),
            "split_half": split_half_table(attack, nulls, test.clusters.numpy(), statistics),
        },
        "control": _source_tables(control, nulls, names, statistics),
    }
    for source, by_name in tables.items():
        for table in by_name.values():
            table.insert(0, "source", source)
    sources = tables.values()
    return {name: pd.concat([own[name] for own in sources if name in own], ignore_index=True) for name in TABLES}


def _source_tables(
    networks: list[Spectra], nulls: list[Null], names: np.ndarray, statistics: StatisticsSettings
) -> dict[str, pd.DataFrame]:
    """The tables that the attack and its control have in common; names: of the groups of images."""
    maps = relative_changes(networks)
    return {
        "maps": map_table(maps | {"score": coefficient_scores(networks, nulls)}, networks, statistics),
        "perturbation": profile_table(maps, networks, statistics),
        "calibrated": calibrated_table(networks, nulls, names, statistics),
        "phase": phase_table(networks, statistics),
    }


def relative_changes(networks: list[Spectra], estimators: tuple[Estimator, ...] = ESTIMATORS) -> dict[str, Tensor]:
    """Relative change of every coefficient by each estimator: replicates (S, 1 + G, H, W)."""
    return {
        name: _stack([relative_change(own, name, own.weights) for own in networks], networks) for name in estimators
    }


def coefficient_scores(networks: list[Spectra], nulls: list[Null]) -> Tensor:
    """Calibrated score of every coefficient: replicates (S, 1 + G, H, W)."""
    pairs = zip(networks, nulls, strict=True)
    return _stack([scores(floored(own.power), null.power, own.weights) for own, null in pairs], networks)


def map_table(maps: dict[str, Tensor], networks: list[Spectra], statistics: StatisticsSettings) -> pd.DataFrame:
    """Rows estimator, u, v of replicates (S, 1 + G, H, W) of each estimator."""
    u, v = np.indices(networks[0].power.shape[1:]).reshape(2, -1)
    tables = [
        _rows(found.flatten(2), networks, statistics, BOUNDS.get(name), estimator=name, u=u, v=v)
        for name, found in maps.items()
    ]
    return pd.concat(tables, ignore_index=True)


def profile_table(maps: dict[str, Tensor], networks: list[Spectra], statistics: StatisticsSettings) -> pd.DataFrame:
    """Rows shape, statistic, shell: share of a perturbation's power in each shell, and relative change by shell.

    The relative change of a shell is the mean of its coefficients'.
    """
    tables = []
    for shape, index in _shells(networks):
        power = _stack([mean_power_share(own, index) for own in networks], networks)
        tables.append(_shell_rows(power, networks, statistics, BOUNDS["power"], shape=shape, statistic="power"))
        for name, found in maps.items():
            curve = mean_by_band(found, index)
            tables.append(_shell_rows(curve, networks, statistics, BOUNDS.get(name), shape=shape, statistic=name))
    return pd.concat(tables)


def mean_power_share(spectra: Spectra, index: Tensor) -> Tensor:
    """Mean over perturbations of the share of power in each shell: index (H, W) -> replicates (1 + G, shells)."""
    weights = spectra.weights.double()
    return weights @ power_share(spectra.power, index).double() / weights.sum(1, keepdim=True)


def power_share(power: Tensor, index: Tensor) -> Tensor:
    """Share of each perturbation's power in each shell: (N, H, W), index (H, W) of `spectrum.shells` -> (N, shells).

    Rows sum to 1; the row of a perturbation that is zero is NaN.
    """
    by_shell = by_band(power, index)
    return by_shell / by_shell.sum(1, keepdim=True)


def calibrated_table(
    networks: list[Spectra], nulls: list[Null], names: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """Rows shape, shell, z, null, SUMMARY, cells: calibrated score by shell; names: of the groups of images.

    null: the standard deviation of noise's score against noise; z: the score in units of it. Power is summed over a
    shell before the logarithm. The interval has no further term for the null (why: `perturbation.null`).
    """
    tables = []
    for shape, index in _shells(networks):
        found = shell_scores(networks, nulls, index)
        spread = null_spread(torch.stack([by_band(null.totals, index) for null in nulls])).numpy()
        behind = from_replicates(found.double().numpy(), _n_images(networks), names=names)
        table = cells.rows({"shape": shape, "shell": range(found.shape[2])}, behind, statistics)
        at = table.columns.get_loc("mean")  # the columns of SUMMARY stay last
        table.insert(at, "z", table["mean"] / spread)
        table.insert(at + 1, "null", spread)
        tables.append(table)
    return pd.concat(tables)


def shell_scores(networks: list[Spectra], nulls: list[Null], index: Tensor) -> Tensor:
    """Calibrated score of each shell: index (H, W) -> replicates (S, 1 + G, shells)."""
    pairs = zip(networks, nulls, strict=True)
    powers = [(by_band(floored(own.power), index), by_band(null.power, index), own.weights) for own, null in pairs]
    return _stack([scores(*of_network) for of_network in powers], networks)


def phase_table(networks: list[Spectra], statistics: StatisticsSettings) -> pd.DataFrame:
    """Rows shell (of the DFT): share of a shell's changed power that turns phases."""
    height, width = networks[0].power.shape[1:]
    index = shells(height, width, networks[0].settings.shapes[0], "dft")
    found = [phase_share(own.images, own.perturbations, index, own.weights) for own in networks]
    return _shell_rows(_stack(found, networks), networks, statistics, BOUNDS["phase"])


def class_table(
    networks: list[Spectra], nulls: list[Null], test: Images, statistics: StatisticsSettings
) -> pd.DataFrame:
    """Rows class, statistic, shell: relative change (LINEAR estimators) and score by shell of the first shape.

    Groups of images are made within each class. Classes without a perturbation are left out.
    """
    tables, (_, index) = [], next(_shells(networks))
    labels, rows = test.labels.numpy(), np.concatenate([network.rows for network in networks])
    for number, class_name in enumerate(test.classes):
        if not (labels[rows] == number).any():
            continue
        groups = _groups(rows[labels[rows] == number], test, statistics)
        own, own_nulls = [], []
        for network, null in zip(networks, nulls, strict=True):
            chosen = torch.from_numpy(np.flatnonzero(labels[network.rows] == number))
            if len(chosen):
                weights = leave_out(groups[network.rows[chosen.numpy()]], int(groups.max()) + 1)
                own.append(subset(network, chosen, weights))
                own_nulls.append(Null(null.power[chosen], null.totals))
        curves = {name: mean_by_band(found, index) for name, found in relative_changes(own, LINEAR).items()}
        curves["score"] = shell_scores(own, own_nulls, index)
        tables += [
            _shell_rows(curve, own, statistics, BOUNDS.get(name), **{"class": class_name}, statistic=name)
            for name, curve in curves.items()
        ]
    return pd.concat(tables, ignore_index=True)


def split_half_table(
    networks: list[Spectra], nulls: list[Null], clusters: np.ndarray, statistics: StatisticsSettings
) -> pd.DataFrame:
    """Rows estimator: split-half gap, averaged over splits and networks; clusters (test images,).

    A network that a half of some split lacks does not count. low, high: the smallest and the largest split, which are
    no confidence interval: halvings of the same images are no new images.
    """
    gaps = split_half_gaps(networks, nulls, clusters)  # (S, splits, estimators)
    by_network = gaps.mean(1)
    no_cells = np.full((len(gaps), 2, gaps.shape[2]), np.nan)
    columns = summary(Estimates(by_network, no_cells, _n_images(networks)), statistics)
    splits = gaps[np.isfinite(by_network).all(1)].mean(0) if np.isfinite(by_network).any() else gaps[0]
    columns |= {"low": splits.min(0), "high": splits.max(0)}
    return pd.DataFrame({"estimator": [*ESTIMATORS, "score"], **columns})


def _groups(rows: np.ndarray, test: Images, statistics: StatisticsSettings) -> np.ndarray:
    """Group of each test image among `rows`, the others -1: (test images,)."""
    rows, groups = np.unique(rows), np.full(len(test), -1)
    groups[rows] = image_groups(test.clusters.numpy()[rows], test.labels.numpy()[rows], statistics.groups)
    return groups


def _stack(by_network: list[Tensor], networks: list[Spectra]) -> Tensor:
    """Replicates (1 + G, ...) of each network as (S, 1 + G, ...); NaN where a replicate holds no perturbation."""
    found = torch.stack(by_network)
    found[torch.stack([network.weights.sum(1) == 0 for network in networks])] = torch.nan
    return found


def _n_images(networks: list[Spectra]) -> int:
    return len(np.unique(np.concatenate([network.rows for network in networks])))


def _shells(networks: list[Spectra]) -> Iterator[tuple[Shape, Tensor]]:
    """Each shape of the settings with the shell of every DCT coefficient (H, W)."""
    height, width = networks[0].power.shape[1:]
    return ((shape, shells(height, width, shape)) for shape in networks[0].settings.shapes)


def _shell_rows(
    found: Tensor,
    networks: list[Spectra],
    statistics: StatisticsSettings,
    bounds: tuple[float, float] | None = None,
    **columns: Any,
) -> pd.DataFrame:
    return _rows(found, networks, statistics, bounds, **columns, shell=range(found.shape[2]))


def _rows(
    found: Tensor,
    networks: list[Spectra],
    statistics: StatisticsSettings,
    bounds: tuple[float, float] | None,
    **columns: Any,
) -> pd.DataFrame:
    """A row for each of K statistics, replicates (S, 1 + G, K), with these columns before SUMMARY."""
    estimates = from_replicates(found.double().numpy(), _n_images(networks), bounds=bounds)
    rows = summary(estimates, statistics)
    return pd.DataFrame(columns | {name: rows[name] for name in SUMMARY})
