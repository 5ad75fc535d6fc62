"""Transfer: whether perturbations found on one run's networks fool the networks of another run."""

from typing import Annotated

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attack_checks.strength import summarise
from spectroscope.models import inference
from spectroscope.pipeline.params import Distinct, Settings
from spectroscope.statistics import cells, estimates
from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings


class AttackChecksSettings(Settings):
    """`transfer`: entries of `attacks` whose perturbations are tried on the other runs."""

    transfer: Annotated[list[str], Distinct]


def transferred(
    model: nn.Module, images: Tensor, attacks: dict[tuple[str, str], tuple[Tensor, pd.DataFrame]], position: int
) -> pd.DataFrame:
    """Whether perturbations found on other networks fool this one: rows image, label, attack, source, fooled.

    attacks: perturbations and outcomes by (source run, attack), of which those of the seed at `position` are used:
    network i of the source with network i of the target. Where one run has more networks than the other, its further
    ones are left out. `fooled` is missing for images that their own network withstood or that this one has wrong
    without a perturbation.
    """
    nothing = {"image": "int64", "label": "int64", "attack": object, "source": object, "fooled": "float32"}
    tables = [pd.DataFrame(columns=list(nothing)).astype(nothing)]
    for (source, attack), (perturbations, outcomes) in attacks.items():
        seeds = np.sort(outcomes["seed"].unique())
        if position >= len(seeds):
            continue
        outcomes = outcomes[outcomes["seed"] == seeds[position]]
        image, labels, success = (
            torch.from_numpy(outcomes[name].to_numpy(copy=True)) for name in ("image", "label", "success")
        )
        clean, fooled = images[image], torch.full((len(outcomes),), torch.nan)
        counted = success & (inference.predict(model, clean) == labels)
        if counted.any():
            adversaries = (clean + perturbations[outcomes.index.to_list()])[counted]
            fooled[counted] = (inference.predict(model, adversaries) != labels[counted]).float()
        tables.append(outcomes[["image", "label"]].assign(attack=attack, source=source, fooled=fooled.numpy()))
    return pd.concat(tables)


def transfer_table(rows: pd.DataFrame, clusters: np.ndarray, statistics: StatisticsSettings) -> pd.DataFrame:
    """attack, source, run: share of `rows` (of `transferred`, with run and seed) in which `run` is fooled.

    clusters (N,): of the test images, by their index.
    """
    table = []
    for (attack, source, run), group in rows.groupby(["attack", "source", "run"], sort=False):
        own = clusters[estimates.per_image(group, "image")]
        (share,) = summarise(estimates.means(estimates.grid(group, ["fooled"]), own, share=True), statistics)
        table.append({"attack": attack, "source": source, "run": run, **share})
    return pd.DataFrame(table, columns=["attack", "source", "run", *SUMMARY, cells.CELLS])
