"""Which frequencies the features of each layer hold, and which bands of the image reach a layer.

Two quantities for each layer, relative to the image, each beside two nulls: the same network with its weights shuffled
(what the architecture alone does), and the same network on images whose pixels are shuffled (what it does to images
without spatial structure). Estimates are ratios of means over images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attribution.inputs import check_bands, check_images
from spectroscope.attribution.shuffling import shuffled
from spectroscope.frequency.partitions import cycles_per_side, mean_by_band, partition
from spectroscope.frequency.spectrum import Basis, analyse, synthesise, to_float
from spectroscope.pipeline import machine
from spectroscope.pipeline.progress import track
from spectroscope.probing.features import Layer, read_layers
from spectroscope.statistics.estimates import Estimates, StatisticsSettings, jackknife, ratio, summary

NETWORKS = ("network", "random weights", "shuffled pixels")
NOTHING = 1e-12  # a smaller part of the energy is rounding: features that are constant over the grid
GROUPS = 20  # of images, one of which at a time is left out (the jackknife)


class LayerSpectra(NamedTuple):
    """layers: one row for each call of a module. spectra, passed: rows as `spectrum_by_layer` describes them."""

    layers: pd.DataFrame
    spectra: pd.DataFrame
    passed: pd.DataFrame


def spectrum_by_layer(
    model: nn.Module,
    images: Tensor,
    index: Tensor | None = None,
    *,
    basis: Basis = "dct",
    generator: torch.Generator | None = None,
    confidence: float = 0.95,
    chunk: int = 64,
) -> LayerSpectra:
    """Spectrum of every layer's features relative to the image's, and the part of each band that reaches the layer.

    images (N, C, H, W) floats, on the device of the network; index (H, W) integers, the band of each coefficient, band
    0 being DC (None for octaves); chunk: images in one forward pass; generator: of the nulls (None: seed 0). Every
    module that gives maps or tokens is a layer, see `features.read_layers`; class tokens are dropped, and `layers` says
    how many.

    spectra: layer, network (of NETWORKS), cycles, density, relative, low, high, n_images. Ring k holds the frequencies
    above k - 1 and up to k cycles per longer side of the image. An image's density in a ring is the layer's mean power
    there, over channels and coefficients, divided by the mean over all rings above DC: 1 everywhere for white noise.
    relative = mean density of the layer / mean density of the image over those coefficients that the layer's grid
    holds: 1 for a layer that copies the image.

    passed: layer, network, band, cycles (of the band, its mean), share, passed, low, high, n_images. share: the layer's
    squared change when the band is removed from the image, |z(x) - z(x without b)|^2 / |z(x) - z(DC of x)|^2, mean over
    images; passed = share / the band's mean share of the image's own energy above DC. 1 for a layer that copies the
    image, whatever its bias and scale; for a linear convolution the shares sum to 1.

    ValueError for images or bands of the wrong shape, a model that is no module, or one none of whose layers gives
    maps or tokens.

    >>> model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 1))
    >>> found = spectrum_by_layer(model, torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    >>> found.layers[["layer", "form", "height", "width"]].values.tolist()
    [['0', 'maps', 8, 8], ['1', 'maps', 8, 8]]
    >>> own = found.passed[(found.passed["network"] == "network") & (found.passed["layer"] == "0")]
    >>> own["passed"].round().tolist()  # from low to high: averages of 2 x 2 pixels leave little of the last octave
    [4.0, 4.0, 3.0, 0.0]
    """
    check_images(images)
    if not isinstance(model, nn.Module):
        raise ValueError(f"expected a torch module, whose layers can be read, got {type(model).__name__}")
    height, width = images.shape[-2:]
    index = partition(height, width, "octave", None, basis) if index is None else index
    check_bands(index, None, images, basis)
    generator = machine.generator(0) if generator is None else generator
    ring = cycles_per_side(height, width, basis, "radial").sub(1e-9).ceil().clamp(min=0).long()
    frequency = mean_by_band(cycles_per_side(height, width, basis, "linf"), index).numpy()
    statistics = StatisticsSettings(confidence=confidence, groups=GROUPS)
    layers: list[Layer] = []
    spectra, passed = [], []
    for network, module, pixels in with_nulls(model, images, generator, generator):
        layers, measured = measure_layers(module, pixels, index, ring, basis, chunk)
        for name, (density, share) in measured.items():
            front = {"layer": name, "network": network}
            rings = {"cycles": np.arange(1, 1 + density.shape[1])}
            spectra.append(_rows(front, rings, "density", "relative", density, statistics))
            bands = {"band": np.arange(1, len(frequency)), "cycles": frequency[1:]}
            passed.append(_rows(front, bands, "share", "passed", share, statistics))
    rows = [{"layer": layer.name, **vars(layer), "also": ", ".join(layer.also)} for layer in layers]
    described = pd.DataFrame(rows).drop(columns="name")
    return LayerSpectra(described, pd.concat(spectra, ignore_index=True), pd.concat(passed, ignore_index=True))


def with_nulls(
    model: nn.Module, images: Tensor, of_pixels: torch.Generator, of_weights: torch.Generator
) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Each of NETWORKS, with the module and the images (N, C, H, W) that it stands for; the generators draw the nulls.

    A channel's pixels move with those of the other channels; weights are permuted within each layer.
    """
    orders = torch.rand(len(images), images[0, 0].numel(), generator=of_pixels).argsort(1).to(images.device)
    scrambled = images.flatten(2).gather(2, orders[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    runs = [(model, images), (shuffled(model, 1.0, of_weights), images), (model, scrambled)]
    for network, (module, pixels) in zip(NETWORKS, runs, strict=True):
        yield network, module, pixels


Measured = dict[str, tuple[np.ndarray, np.ndarray]]


@torch.no_grad()
def measure_layers(
    model: nn.Module, images: Tensor, index: Tensor, ring: Tensor, basis: Basis, chunk: int
) -> tuple[list[Layer], Measured]:
    """Layers; and of each that has maps the densities (N, rings, 2) and the shares (N, bands, 2) of each image.

    The last axis has the layer's number and the image's. index and ring (H, W): the band of each coefficient, and the
    ring for densities; number 0 of both is DC, which is left out. An image, the image without each band, and its DC
    alone go through the network together: nothing is kept of the maps but these numbers. ValueError for a network
    without layers that give maps or tokens.
    """
    bands = int(index.max()) + 1
    masks = [(index == band).to(images.device) for band in range(bands)]
    found: dict[str, list[list[np.ndarray]]] = {}
    layers: list[Layer] = []
    step = max(1, chunk // (bands + 1))
    for x in track(images.split(step), "spectra by layer"):
        spectrum = analyse(x, basis)
        power = spectrum.abs().square().sum(1)  # (n, H, W)
        energy = torch.stack([(power * mask).sum((1, 2)) for mask in masks[1:]], 1).double()  # (n, bands - 1)
        share_of_image = _divided(energy, energy.sum(1), power.sum((1, 2)))
        without = [x - synthesise(spectrum * mask, basis) for mask in masks[1:]]
        versions = torch.stack([x, *without, synthesise(spectrum * masks[0], basis)], 1)  # (n, bands + 1, C, H, W)

        def see(
            layer: Layer, maps: Tensor, n: int = len(x), power: Tensor = power, of_image: Tensor = share_of_image
        ) -> None:
            each = maps.unflatten(0, (n, bands + 1))
            clean = each[:, 0]
            change = [_squares(each[:, place] - clean) for place in range(1, bands + 1)]
            share = _divided(torch.stack(change[:-1], 1), change[-1], _squares(clean))
            own = analyse(clean, basis).abs().square().sum(1)  # (n, h, w)
            densities = torch.stack(_densities(own, power, ring, basis), 2)
            numbers = (densities, torch.stack([share, of_image], 2))
            rows = found.setdefault(layer.name, [[] for _ in numbers])
            for kept, values in zip(rows, numbers, strict=True):
                kept.append(values.cpu().numpy())

        layers = read_layers(model, versions.flatten(0, 1), see)
    if not found:
        notes = "; ".join(f"{layer.name}: {layer.note}" for layer in layers) or "it has no modules"
        raise ValueError(f"expected a network with layers that give maps or tokens, got none ({notes})")
    return layers, {name: (np.concatenate(first), np.concatenate(second)) for name, (first, second) in found.items()}


def _densities(own: Tensor, power: Tensor, ring: Tensor, basis: Basis) -> tuple[Tensor, Tensor]:
    """Density by ring of a layer's power (n, h, w) and of the image's (n, H, W), of the coefficients in both grids.

    (n, rings) twice, NaN for a ring beyond the layer's grid and for a layer without power above DC.
    """
    rows, columns = (_in_both(mine, side, basis) for mine, side in zip(own.shape[1:], power.shape[1:], strict=True))
    count = int(ring.max())
    kept = ring[rows[1]][:, columns[1]]
    densities = []
    for values, place in ((own, 0), (power, 1)):
        shared = values[:, rows[place]][:, :, columns[place]].double()
        total, above = shared.sum((1, 2)), shared[:, kept.to(shared.device) > 0]
        sums = shared.new_zeros(len(shared), count + 1).index_add_(
            1, kept.flatten().to(shared.device), shared.flatten(1)
        )
        sizes = torch.bincount(kept.flatten(), minlength=count + 1).to(sums)  # 0 / 0 is NaN: no coefficient
        densities.append(_divided((sums / sizes)[:, 1:], above.mean(1), total / max(1, above.shape[1])))
    return densities[0], densities[1].where(densities[0].isfinite(), torch.nan)


def _in_both(size: int, full: int, basis: Basis) -> tuple[Tensor, Tensor]:
    """Places along an axis of `size` and of `full` pixels of the same frequencies in cycles per side.

    In the DFT of a smaller or larger grid the highest frequency of an even size is left out: it is two in one.
    """
    if basis == "dct" or size == full:
        places = torch.arange(min(size, full))
        return places, places
    highest = (min(size, full) - 1) // 2
    frequencies = torch.arange(-highest, highest + 1)
    return frequencies % size, frequencies % full


def _squares(values: Tensor) -> Tensor:
    """Sum of squares of each image: (n, ...) -> (n,) in float64."""
    return to_float(values).flatten(1).square().sum(1).double()


def _divided(values: Tensor, by: Tensor, scale: Tensor) -> Tensor:
    """values (n, K) / by (n,), in float64; NaN where `by` is nothing beside `scale` (n,)."""
    there = by > NOTHING * scale
    return (values.double() / by.double()[:, None]).where(there[:, None], torch.nan)


def relative_to_image(pairs: np.ndarray, groups: np.ndarray, names: np.ndarray | None = None) -> Estimates:
    """Mean over images of a layer's numbers over that of the image's, by network: (S, N, K, 2), NaN without a number.

    groups (N,), names: as in `estimates.jackknife`. An image without a number counts in neither mean.
    """

    def mean_ratio(network: np.ndarray, _: np.ndarray) -> np.ndarray:
        counted = np.isfinite(network).all(2, keepdims=True)
        own, of_image = np.moveaxis(np.where(counted, network, 0.0).sum(0), 1, 0)  # their number cancels
        return ratio(own, of_image)

    return jackknife(pairs, mean_ratio, groups, bounds=(0.0, np.inf), names=names)


def _rows(
    front: dict[str, str],
    columns: dict[str, np.ndarray],
    value: str,
    relative: str,
    pairs: np.ndarray,
    statistics: StatisticsSettings,
) -> pd.DataFrame:
    """Ratio of the means over images of a layer's numbers and the image's (N, K, 2), with its interval: a row for each.

    Columns without a value are left out, and so are images without one, which n_images does not count.
    """
    there = np.isfinite(pairs).all(2).any(0)
    pairs = pairs[:, there]
    pairs = pairs[np.isfinite(pairs).all((1, 2))]  # (N', K', 2)
    table = pd.DataFrame({**front, **{name: numbers[there] for name, numbers in columns.items()}})
    if table.empty:
        return table.assign(**dict.fromkeys((value, relative, "low", "high", "n_images"), np.nan))
    groups = np.arange(len(pairs)) % min(statistics.groups, len(pairs))
    ends = summary(relative_to_image(pairs[None], groups), statistics)
    names = {relative: "mean", "low": "low", "high": "high", "n_images": "n_images"}
    return table.assign(**{value: pairs[..., 0].mean(0)}, **{new: ends[old] for new, old in names.items()})
