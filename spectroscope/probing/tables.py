"""What one network shows of itself, and the tables of all seeds of a run."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope import bootstrap
from spectroscope.attribution import margins as subspaces
from spectroscope.attribution import masks
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.dataset.partners import partner_of_another_class
from spectroscope.frequency.partitions import by_band, partition
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import machine
from spectroscope.probing import counterparts as inversion
from spectroscope.probing.settings import CounterpartSettings, MarginSettings, MaskSettings

Settings = tuple[MarginSettings, MaskSettings, CounterpartSettings]
MASKS = ("network", "essential", "adversarial")


def examine(
    model: nn.Module, images: Tensor, labels: Tensor, change: Tensor, rows: pd.DataFrame, seed: int, settings: Settings
) -> dict[str, np.ndarray]:
    """Of one network: margins (N, bands), and by l-inf shell its masks and counterparts: (N, shells) each.

    change, rows: perturbations of the attack and their table, of this seed. A row is NaN where there is no value: of an
    image the network had wrong before, or, of adversarial masks, that was not fooled.
    """
    of_margins, of_masks, of_counterparts = settings
    height, width = images.shape[-2:]
    index = partition(height, width, of_margins.partition, of_margins.bands, "dct")
    some = slice(of_margins.n_images)
    found = {"margins": subspaces.margins(model, images[some], labels[some], index, of_margins)}

    x, y = images[: of_masks.n_images], labels[: of_masks.n_images]
    with torch.no_grad():
        right = model(x).argmax(1) == y
    fooled = rows[rows["success"] & (rows["image"] < len(x))]
    at = torch.from_numpy(fooled["image"].to_numpy(copy=True)).to(x.device)
    adversaries = x[at] + change[fooled.index.to_list()].to(x.device)
    size = len(x), max(height, width)
    after = torch.from_numpy(fooled["after"].to_numpy(copy=True)).to(x.device)
    found["network"] = _shells(
        masks.network_mask(model, x, y, of_masks, of_masks.batch_size, machine.generator(seed))[None]
    )
    found["essential"] = _placed(
        *size, right.nonzero()[:, 0], lambda: masks.image_masks(model, x[right], y[right], of_masks)
    )
    found["adversarial"] = _placed(*size, at, lambda: masks.image_masks(model, adversaries, after, of_masks))

    target, classes = images[: of_counterparts.n_images], labels[: of_counterparts.n_images].cpu()
    start = target[partner_of_another_class(classes, machine.generator(of_counterparts.seed))]
    reached, left = inversion.counterparts(inversion.representation(model), target, start, of_counterparts)
    found["change"], found["control"] = (_shells((dct2(each - target)).abs().mean(1)) for each in (reached, start))
    found["left"] = left[:, None]
    return {name: values.cpu().double().numpy() for name, values in found.items()}


def mask_rows(found: dict[str, np.ndarray], n_images: int, statistics: StatisticsSettings) -> pd.DataFrame:
    """mask, shell, mean, low, high, n_images, n_seeds; found: (seeds, images, shells) for each of MASKS."""
    tables = []
    for name in MASKS:
        (mean, drawn), there = _means(found[name], statistics), np.isfinite(found[name]).all(2).any(0)
        table = _rows(
            mean, drawn, statistics, found[name].shape[0], n_images if name == "network" else int(there.sum())
        )
        table.insert(0, "mask", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def counterpart_rows(found: dict[str, np.ndarray], statistics: StatisticsSettings) -> pd.DataFrame:
    """measure, shell, mean, low, high, n_images, n_seeds.

    change: mean |difference of DCT coefficients| of counterpart and image (Wang et al. 2020, Fig. 3); control: of start
    image and image, two natural ones; remaining: log of their ratio, 0 where nothing came back. left (shell 0): the
    distance of features that is left, start = 1.
    """
    seeds, images, _ = found["change"].shape
    both = _means(np.concatenate([found["change"], found["control"]], 2), statistics)
    change, control = ([part[..., half] for part in both] for half in np.split(np.arange(both[0].shape[-1]), 2))
    remaining = [np.log(above / below) for above, below in zip(change, control, strict=True)]
    measures = {"change": change, "control": control, "remaining": remaining, "left": _means(found["left"], statistics)}
    tables = []
    for name, (mean, drawn) in measures.items():
        table = _rows(mean, drawn, statistics, seeds, images)
        table.insert(0, "statistic", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _means(values: np.ndarray, statistics: StatisticsSettings) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds and images (K,), and that of each crossed draw (draws, K)."""
    groups = bootstrap.everything(values.shape[1])
    return bootstrap.estimate(values, groups)[0], bootstrap.draws(values, groups, statistics, 0)[:, 0]


def _rows(mean: np.ndarray, drawn: np.ndarray, statistics: StatisticsSettings, seeds: int, images: int) -> pd.DataFrame:
    low, high = bootstrap.interval(drawn, statistics)
    table = pd.DataFrame({"shell": range(len(mean)), "mean": mean, "low": low, "high": high})
    return table.assign(n_images=images, n_seeds=seeds)


def _shells(maps: Tensor) -> Tensor:
    """Mean over the coefficients of each l-inf shell: (N, H, W) -> (N, shells)."""
    index = partition(*maps.shape[-2:], "linf", None, "dct")
    return by_band(maps, index) / torch.bincount(index.flatten()).to(maps)


def _placed(n: int, shells: int, at: Tensor, learn: Callable[[], Tensor]) -> Tensor:
    """Shell means of masks learned for the images `at`, in their rows of n; NaN elsewhere: (n, shells)."""
    rows = torch.full((n, shells), torch.nan, device=at.device)
    return rows.index_copy_(0, at, _shells(learn())) if len(at) else rows
