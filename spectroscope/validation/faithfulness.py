"""Faithfulness: does the prediction depend on the bands or coefficients that an attribution ranks highest?

When bands or coefficients are deleted in a good order, the probability of the label falls early; when they are inserted
in that order, it rises early. An order is given by priorities, the largest first. Four orders that do not look at the
network are the yardstick: energy, low to high, high to low, random. `interventions` compare the removal of one band
with that of an equal energy from everything else.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field, field_validator
from torch import Tensor

from spectroscope.attribution.coalitions import EXACT_BANDS
from spectroscope.attribution.scores import coalition_scores, image_scores
from spectroscope.attribution.task import Attribution, Task
from spectroscope.frequency.equal_energy import equal_energy, random_orders
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import analyse, mirrored, shells, synthesise
from spectroscope.pipeline.params import Settings
from spectroscope.pipeline.progress import track

TRIVIAL = ("energy", "low_to_high", "high_to_low", "random")


class FaithfulnessSettings(Settings):
    """Deletion and insertion curves; fractions: of all coefficients, deleted (or inserted) after each step."""

    fractions: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2)]

    @field_validator("fractions")
    @classmethod
    def _rise(cls, fractions: list[float]) -> list[float]:
        if fractions != sorted(set(fractions)) or (fractions[0], fractions[-1]) != (0, 1):
            raise ValueError(f"expected fractions that rise from 0 to 1, got {fractions}")
        return fractions


def curves(task: Task, attributions: dict[str, Attribution], fractions: list[float]) -> pd.DataFrame:
    """Deletion and insertion curves of every method and every trivial order, image by image.

    Rows: order, unit (`band`, or `coefficient` for methods that have them), kind, image, step_0, step_1, ...: the
    softmax probability of the label. A step is one band, or one of the `fractions` of all coefficients. With up to
    EXACT_BANDS bands, curves by band are looked up among the logits of all coalitions; with more, each step takes a
    forward pass.
    """
    trivial = trivial_priorities(task)
    orders = {name: attribution.values for name, attribution in attributions.items()} | _trivial_bands(task, trivial)
    exact = task.n_bands <= EXACT_BANDS
    if exact:
        probabilities = coalition_scores(task.every_logits("zero", False), task.labels, "probability")
    rows = []
    for name, priority in track(list(orders.items()), "deletion and insertion by band"):
        priority = priority.to(task.images.device)
        by_kind = looked_up_curves(probabilities, priority) if exact else stepwise_curves(task, priority)
        rows += [_rows(curve, name, "band", kind) for kind, curve in by_kind.items()]
    orders = {name: a.coefficients for name, a in attributions.items() if a.coefficients is not None} | trivial
    for name, priority in track(list(orders.items()), "deletion and insertion by coefficient"):
        for kind in ("deletion", "insertion"):
            curve = coefficient_curve(task, _symmetric(priority, task), fractions, kind == "insertion")
            rows.append(_rows(curve, name, "coefficient", kind))
    return pd.concat(rows, ignore_index=True)


def trivial_priorities(task: Task) -> dict[str, Tensor]:
    """Priorities of the coefficients (N, H, W) that do not look at the network, for each name in TRIVIAL."""
    energy = analyse(task.images, task.basis).abs().square().sum(1)
    height, width = energy.shape[1:]
    frequency = shells(height, width, "radial", task.basis).to(energy).expand_as(energy)
    drawn = torch.rand(energy.shape, generator=task.generator("random_coefficients")).to(energy)
    return {"energy": energy, "low_to_high": -frequency, "high_to_low": frequency, "random": drawn}


def _trivial_bands(task: Task, trivial: dict[str, Tensor]) -> dict[str, Tensor]:
    """Priorities of the bands (N, B) that do not look at the network."""
    band = torch.arange(task.n_bands, dtype=torch.float64).expand(len(task.images), -1)
    drawn = torch.rand(band.shape, generator=task.generator("random_bands"))
    energy = by_band(trivial["energy"], task.index)
    return {"energy": energy, "low_to_high": -band, "high_to_low": band, "random": drawn}


def looked_up_curves(probabilities: Tensor, priority: Tensor) -> dict[str, Tensor]:
    """Both curves, taken from the probabilities of every coalition (N, 2^B): priorities (N, B) -> (N, B + 1)."""
    order = priority.argsort(dim=1, descending=True, stable=True)
    first = torch.cat([torch.zeros_like(order[:, :1]), (2**order).cumsum(1)], 1)  # coalition of the first 0..B bands
    rest = probabilities.shape[1] - 1 - first
    return {"insertion": probabilities.gather(1, first), "deletion": probabilities.gather(1, rest)}


def stepwise_curves(task: Task, priority: Tensor) -> dict[str, Tensor]:
    """Both curves for any number of bands, with a forward pass for each step: priorities (N, B) -> (N, B + 1)."""
    rank = priority.argsort(dim=1, descending=True, stable=True).argsort(1)[:, task.index.to(priority.device)]
    steps = list(range(task.n_bands + 1))
    return {kind: _stepwise(task, rank, steps, kind == "insertion") for kind in ("insertion", "deletion")}


def coefficient_curve(task: Task, priority: Tensor, fractions: list[float], insertion: bool) -> Tensor:
    """Probability of the label with the first fractions of all coefficients alone, or without them: (N, fractions)."""
    _, height, width = priority.shape
    rank = priority.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view_as(priority)
    if task.basis == "dft":
        rank = torch.minimum(rank, mirrored(rank))  # a coefficient and its mirror change together: images stay real
    return _stepwise(task, rank, [round(fraction * height * width) for fraction in fractions], insertion)


@torch.no_grad()
def _stepwise(task: Task, rank: Tensor, steps: list[int], insertion: bool) -> Tensor:
    """Probability of the label with the coefficients of rank below each step alone, or without them: (N, steps)."""
    curves = []
    for start in range(0, len(rank), max(1, task.chunk)):
        rows = slice(start, start + max(1, task.chunk))
        spectrum, curve = analyse(task.images[rows], task.basis), []
        for step in steps:
            first = rank[rows] < step
            x = synthesise(spectrum * (first if insertion else ~first)[:, None], task.basis)
            curve.append(image_scores(task.model, x, task.labels[rows], "probability"))
        curves.append(torch.stack(curve, 1))
    return torch.cat(curves)


@torch.no_grad()
def interventions(task: Task, seed: int) -> pd.DataFrame:
    """Predictions without each band, and without other coefficients above DC that hold as much energy.

    Rows: image, band, right (with the whole image), right_without, drop_without, right_other, drop_other (drops of the
    score), energy, energy_other (shares of the image's energy above DC: of the band, and of what was removed instead).
    Other: see `frequency.equal_energy`, whose orders `seed` draws, alike for all networks; where the band held more
    than the rest, all of the rest is removed.
    """
    clean = task.clean_logits()
    score, right = task.scores(clean[:, None])[:, 0], clean.argmax(1) == task.labels
    spectrum, tables = analyse(task.images, task.basis), []
    energy = spectrum.abs().square().sum(1).double()
    above_dc = energy.flatten(1)[:, 1:].sum(1).clamp_min(1e-12)
    orders = random_orders(range(len(spectrum)), task.index.numel(), seed)
    for band in range(task.n_bands):
        mask = (task.index == band).to(task.images.device)
        removed = {"without": mask.expand_as(energy), "other": equal_energy(spectrum, mask, orders, task.basis)}
        columns = {"image": np.arange(len(score)), "band": band, "right": right.cpu().numpy()}
        for name, gone in removed.items():
            images = task.images - synthesise(spectrum * gone[:, None], task.basis)
            logits = replace(task, images=images, index=torch.zeros_like(task.index)).clean_logits()
            columns[f"right_{name}"] = (logits.argmax(1) == task.labels).cpu().numpy()
            columns[f"drop_{name}"] = (score - task.scores(logits[:, None])[:, 0]).cpu().numpy()
            share = ((energy * gone).sum((1, 2)) / above_dc).cpu().numpy()
            columns["energy" if name == "without" else "energy_other"] = share
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def _symmetric(priority: Tensor, task: Task) -> Tensor:
    """Priorities as they are, in the DFT the mean of a coefficient and its mirror."""
    return priority if task.basis == "dct" else (priority + mirrored(priority)) / 2


def _rows(curve: Tensor, order: str, unit: str, kind: str) -> pd.DataFrame:
    steps = pd.DataFrame(curve.cpu().double().numpy(), columns=[f"step_{k}" for k in range(curve.shape[1])])
    front = {"order": order, "unit": unit, "kind": kind, "image": np.arange(len(curve))}
    return pd.concat([pd.DataFrame(front), steps], axis=1)
