"""Tables of the probes of one run: margins, masks and counterparts of all its networks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from torch import Tensor, nn

from spectroscope.pipeline.params import Settings
from spectroscope.probing.counterparts import CounterpartSettings, counterpart_table, counterparts_by_shell
from spectroscope.probing.margins import MarginSettings, band_margins, margin_table
from spectroscope.probing.masks import MaskSettings, mask_table, masks_by_shell
from spectroscope.statistics.estimates import StatisticsSettings


class ProbingSettings(Settings):
    """The three probes that every network undergoes."""

    margins: MarginSettings
    masks: MaskSettings
    counterparts: CounterpartSettings


def probe(
    networks: Iterable[tuple[int, nn.Module]],
    images: Tensor,
    labels: Tensor,
    clusters: np.ndarray,
    attack: tuple[Tensor, pd.DataFrame],
    settings: ProbingSettings,
    statistics: StatisticsSettings,
) -> dict[str, pd.DataFrame]:
    """Tables margins, masks and counterparts of one run, whose networks come with their seeds.

    images (N, C, H, W) and labels (N,) on the networks' device, clusters (N,) of the images; attack: perturbations of
    the run and their rows.
    """
    margins, masks, counterparts = [], [], []
    perturbations, outcomes = attack
    for seed, model in networks:
        own = perturbations, outcomes[outcomes["seed"] == seed]
        margins.append({"margins": band_margins(model, images, labels, settings.margins)})
        masks.append(masks_by_shell(model, images, labels, own, seed, settings.masks))
        counterparts.append(counterparts_by_shell(model, images, labels, settings.counterparts))
    label, first = (
        labels.cpu().numpy(),
        {name: getattr(settings, name).n_images for name in ProbingSettings.model_fields},
    )
    of = {name: (label[:n], clusters[:n]) for name, n in first.items()}
    return {
        "margins": margin_table(_stack(margins)["margins"], *of["margins"], statistics),
        "masks": mask_table(_stack(masks), settings.masks.n_images, of["masks"][1], statistics),
        "counterparts": counterpart_table(_stack(counterparts), *of["counterparts"], statistics),
    }


def _stack(seeds: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """Results (images, K) of each seed, by name, as float64 arrays (seeds, images, K)."""
    return {name: np.stack([values[name].cpu().double().numpy() for values in seeds]) for name in seeds[0]}
