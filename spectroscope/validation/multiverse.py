"""Occluded Frequency under every combination of choices nobody agrees on, and under shuffled weights."""

import copy
import itertools

import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attribution.methods import Task
from spectroscope.attribution.occlusion import all_but_one
from spectroscope.attribution.scores import score as score_of
from spectroscope.frequency.partitions import Partition, by_band, mean_power, partition, positions
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline.progress import track
from spectroscope.validation.settings import Multiverse


def bands_of(images: Tensor, kind: Partition, bands: int | None, basis: Basis) -> Tensor:
    """The partition of a kind for these images; octaves have their own number of bands."""
    height, width = images.shape[-2:]
    power = mean_power(images, basis).cpu() if kind == "equal_energy" else None
    return partition(height, width, kind, None if kind == "octave" else bands, basis, power)


def described(images: Tensor, index: Tensor, basis: Basis, kind: Partition) -> pd.DataFrame:
    """Each band: basis, shape, band, size in coefficients, energy (mean over images), position (0..1)."""
    energy = by_band(mean_power(images, basis).cpu().double(), index)
    size, place = torch.bincount(index.flatten()), positions(index, basis)
    columns = {"size": size.numpy(), "energy": energy.numpy(), "position": place.numpy()}
    return pd.DataFrame({"basis": basis, "shape": kind, "band": range(len(size)), **columns})


def multiverse(task: Task, settings: Multiverse, bands: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Occluded Frequency by every combination: rows basis, shape, baseline, score, clip, image, band_0, ...; the bands.

    The bands as of `described`. Combinations that differ in the score alone share their forward passes.
    """
    images, labels = task.images[: settings.n_images], task.labels[: settings.n_images]
    rows, about = [], []
    cells = list(itertools.product(settings.bases, settings.shapes, settings.baselines, settings.clips))
    for basis, shape, baseline, clip in track(cells, "multiverse"):
        index = bands_of(images, shape, bands, basis)
        if (baseline, clip) == (settings.baselines[0], settings.clips[0]):
            about.append(described(images, index, basis, shape))
        fields = {"images": images, "labels": labels, "basis": basis, "index": index, "tables": {}}
        part = Task(**{**vars(task), **fields})
        logits = part.logits(baseline, clip, all_but_one(part.bands))
        for score in settings.scores:
            values = score_of(logits, labels[:, None].expand(logits.shape[:2]), score)
            columns = [f"band_{k}" for k in range(part.bands)]
            drops = pd.DataFrame((values[:, :1] - values[:, 1:]).cpu().double().numpy(), columns=columns)
            cell = {"basis": basis, "shape": shape, "baseline": baseline, "score": score, "clip": clip}
            rows.append(drops.assign(**cell, image=range(len(images)), label=labels.cpu().numpy()))
    return pd.concat(rows, ignore_index=True), pd.concat(about, ignore_index=True)


def shuffled(model: nn.Module, share: float, generator: torch.Generator) -> nn.Module:
    """A copy whose weights and biases are permuted within each layer, in this share of the layers from the last one on.

    Adebayo et al. 2018: an explanation that does not change has not looked at the weights.
    """
    other = copy.deepcopy(model)
    layers = [module for module in other.modules() if next(module.parameters(recurse=False), None) is not None]
    for layer in layers[len(layers) - max(1, round(share * len(layers))) :]:
        for weight in layer.parameters(recurse=False):
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.data = weight.data.flatten()[order].view(weight.shape).contiguous()
    return other
