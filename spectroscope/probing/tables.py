"""Tables of the probes of one run: margins, masks, counterparts and layers of all its networks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from torch import Tensor, nn

from spectroscope.pipeline.params import Settings
from spectroscope.probing.counterparts import CounterpartSettings, counterpart_table, counterparts_by_shell
from spectroscope.probing.layer_tables import LayerSettings, layer_table, layers_by_band, no_layers
from spectroscope.probing.margins import MarginSettings, band_margins, margin_table
from spectroscope.probing.masks import MaskSettings, mask_table, masks_by_shell
from spectroscope.statistics.estimates import StatisticsSettings


class ProbingSettings(Settings):
    """The probes that every network undergoes; null leaves `layers` out."""

    margins: MarginSettings
    masks: MaskSettings
    counterparts: CounterpartSettings
    layers: LayerSettings | None


def probe(
    networks: Iterable[tuple[int, nn.Module]],
    unfolded: Iterable[tuple[int, nn.Module]],
    images: Tensor,
    labels: Tensor,
    clusters: np.ndarray,
    attack: tuple[Tensor, pd.DataFrame],
    settings: ProbingSettings,
    statistics: StatisticsSettings,
) -> dict[str, pd.DataFrame]:
    """Tables margins, masks, counterparts and layers of one run, whose networks come with their seeds.

    unfolded: the same networks with all their modules, whose layers are read. images (N, C, H, W) and labels (N,) on
    the networks' device, clusters (N,) of the images; attack: perturbations of the run and their rows.
    """
    margins, masks, counterparts = [], [], []
    perturbations, outcomes = attack
    for seed, model in networks:
        own = perturbations, outcomes[outcomes["seed"] == seed]
        margins.append({"margins": band_margins(model, images, labels, settings.margins)})
        masks.append(masks_by_shell(model, images, labels, own, seed, settings.masks))
        counterparts.append(counterparts_by_shell(model, images, labels, settings.counterparts))
    label = labels.cpu().numpy()
    of = {name: (label[: each.n_images], clusters[: each.n_images]) for name, each in settings if each is not None}
    found = {
        "margins": margin_table(_stack(margins)["margins"], *of["margins"], statistics),
        "masks": mask_table(_stack(masks), settings.masks.n_images, of["masks"][1], statistics),
        "counterparts": counterpart_table(_stack(counterparts), *of["counterparts"], statistics),
        "layers": no_layers(),
    }
    if settings.layers is not None:
        numbers = [layers_by_band(model, images, seed, settings.layers) for seed, model in unfolded]
        found["layers"] = layer_table(numbers, images, *of["layers"], settings.layers, statistics)
    return found


def _stack(seeds: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """Results (images, K) of each seed, by name, as float64 arrays (seeds, images, K)."""
    return {name: np.stack([values[name].cpu().double().numpy() for values in seeds]) for name in seeds[0]}
