"""Transfer: whether perturbations found on one run's networks fool the networks of another run."""

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attack_checks.strength import SUMMARY, summarise
from spectroscope.models import inference
from spectroscope.pipeline.params import Settings
from spectroscope.statistics.bootstrap import StatisticsSettings, grid


class AttackChecksSettings(Settings):
    """`transfer`: entries of `attacks` whose perturbations are tried on the other runs."""

    transfer: list[str]


def transferred(
    model: nn.Module, images: Tensor, attacks: dict[tuple[str, str], tuple[Tensor, pd.DataFrame]], position: int
) -> pd.DataFrame:
    """Whether perturbations found on other networks fool this one: rows image, label, attack, source, fooled.

    attacks: perturbations and outcomes by (source run, attack), of which those of the seed at `position` are used.
    `fooled` is missing for images that their own network withstood or that this one has wrong without a perturbation.
    """
    tables = []
    for (source, attack), (perturbations, outcomes) in attacks.items():
        outcomes = outcomes[outcomes["seed"] == outcomes["seed"].unique()[position]]
        image, labels, success = (
            torch.from_numpy(outcomes[name].to_numpy(copy=True)) for name in ("image", "label", "success")
        )
        clean, fooled = images[image], torch.full((len(outcomes),), torch.nan)
        counted = success & (inference.predict(model, clean) == labels)
        if counted.any():
            adversaries = (clean + perturbations[outcomes.index.to_list()])[counted]
            fooled[counted] = (inference.predict(model, adversaries) != labels[counted]).float()
        tables.append(outcomes[["image", "label"]].assign(attack=attack, source=source, fooled=fooled.numpy()))
    columns = ["image", "label", "attack", "source", "fooled"]
    return pd.concat(tables) if tables else pd.DataFrame(columns=columns)


def transfer_table(rows: pd.DataFrame, runs: list[str], statistics: StatisticsSettings) -> pd.DataFrame:
    """attack, source, run: share of `rows` (of `transferred`, with run and seed) in which `run` is fooled."""
    table = []
    for (attack, source, run), group in rows.groupby(["attack", "source", "run"], sort=False):
        (share,) = summarise(grid(group, ["fooled"]), runs.index(run), statistics)
        table.append({"attack": attack, "source": source, "run": run, **share})
    return pd.DataFrame(table, columns=["attack", "source", "run", *SUMMARY])
