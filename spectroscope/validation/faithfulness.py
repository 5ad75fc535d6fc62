"""How good an explanation is: what happens to the prediction when what it names is taken away, or comes first.

A good order of bands or coefficients makes the probability of the label fall early when they are deleted in that order
and rise early when they are inserted. An order is given by priorities, the largest first; four that know nothing of the
network are the yardstick: energy, low to high, high to low, random.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attribution.methods import Measured, Task
from spectroscope.attribution.occlusion import coalition_logits
from spectroscope.attribution.scores import checked
from spectroscope.attribution.scores import score as score_of
from spectroscope.attribution.shapley import EXACT_BANDS
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import analyse, shells, synthesise
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.progress import track

TRIVIAL = ("energy", "low_to_high", "high_to_low", "random")


def curves(task: Task, measured: dict[str, Measured], fractions: list[float]) -> pd.DataFrame:
    """Deletion and insertion curves of every measure and every trivial order, image by image.

    Rows: order, unit (`band`, or `coefficient` for measures that have them), kind, image, step_0, step_1, ...: the
    softmax probability of the label. A step is one band, or one of the `fractions` of all coefficients. Curves by band
    are looked up in the table of all coalitions; of more bands than there is a table of, they are walked along.
    """
    plain = trivial(task)
    parts = []
    orders = {name: each.values for name, each in measured.items()}
    orders |= {"energy": by_band(plain["energy"], task.index)}
    band = torch.arange(task.bands, dtype=torch.float64).expand(len(task.images), -1)
    drawn = torch.rand(band.shape, generator=generator(task.seed, 6))
    orders |= {"low_to_high": -band, "high_to_low": band, "random": drawn}
    if task.bands <= EXACT_BANDS:
        logits = task.table("zero", False)
        value = score_of(logits, task.labels[:, None].expand(logits.shape[:2]), "softmax")
    for name, priority in track(list(orders.items()), "deletion and insertion by band"):
        priority = priority.to(task.images.device)
        found = band_curves(value, priority) if task.bands <= EXACT_BANDS else walked_curves(task, priority)
        for kind, curve in found.items():
            parts.append(_rows(curve, name, "band", kind))
    orders = {name: each.coefficients for name, each in measured.items() if each.coefficients is not None} | plain
    for name, priority in track(list(orders.items()), "deletion and insertion"):
        for kind in ("deletion", "insertion"):
            curve = coefficient_curve(task, _symmetric(priority, task), fractions, kind == "insertion")
            parts.append(_rows(curve, name, "coefficient", kind))
    return pd.concat(parts, ignore_index=True)


def trivial(task: Task) -> dict[str, Tensor]:
    """Priorities (N, H, W) that know nothing of the network, by name."""
    energy = analyse(task.images, task.basis).abs().square().sum(1)
    frequency = shells(*energy.shape[1:], "radial", task.basis).to(energy).expand_as(energy)
    drawn = torch.rand(energy.shape, generator=generator(task.seed, 5)).to(energy)
    return {"energy": energy, "low_to_high": -frequency, "high_to_low": frequency, "random": drawn}


def band_curves(values: Tensor, priority: Tensor) -> dict[str, Tensor]:
    """Both curves from the value of every coalition (N, 2^B), looked up: priorities (N, B) -> (N, B + 1) each."""
    order = priority.argsort(dim=1, descending=True, stable=True)
    first = torch.cat([torch.zeros_like(order[:, :1]), (2**order).cumsum(1)], 1)  # coalition of the first bands
    return {"insertion": values.gather(1, first), "deletion": values.gather(1, values.shape[1] - 1 - first)}


def walked_curves(task: Task, priority: Tensor) -> dict[str, Tensor]:
    """The same for any number of bands, a forward pass for each step."""
    rank = priority.argsort(dim=1, descending=True, stable=True).argsort(1)[:, task.index.to(priority.device)]
    steps = list(range(task.bands + 1))
    return {kind: _walked(task, rank, steps, kind == "insertion") for kind in ("insertion", "deletion")}


def coefficient_curve(task: Task, priority: Tensor, fractions: list[float], insertion: bool) -> Tensor:
    """Probability of the label with the first fractions of all coefficients alone, or without them: (N, fractions)."""
    _, height, width = priority.shape
    rank = priority.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(1).view_as(priority)
    if task.basis == "dft":
        rank = torch.minimum(rank, _mirrored(rank))  # both or neither
    return _walked(task, rank, [round(fraction * height * width) for fraction in fractions], insertion)


@torch.no_grad()
def _walked(task: Task, rank: Tensor, steps: list[int], insertion: bool) -> Tensor:
    """Probability of the label with the coefficients of rank below each step alone, or without them: (N, steps)."""
    found = []
    for start in range(0, len(rank), max(1, task.chunk)):
        part = slice(start, start + max(1, task.chunk))
        spectrum, y = analyse(task.images[part], task.basis), task.labels[part].to(task.images.device)
        curve = []
        for step in steps:
            first = rank[part] < step
            x = synthesise(spectrum * (first if insertion else ~first)[:, None], task.basis)
            curve.append(score_of(checked(task.model(x), len(x)), y, "softmax"))
        found.append(torch.stack(curve, 1))
    return torch.cat(found)


@torch.no_grad()
def interventions(task: Task) -> pd.DataFrame:
    """What each band's removal does, beside an equal energy taken off everything else above DC.

    Rows: image, band, right (with the whole image), right_without, right_other, drop_without, drop_other (drops of the
    score). Other: the rest of the image above DC is scaled down until as much energy is gone as the band held; where
    the band held more than the rest, all of the rest is taken.
    """
    n = len(task.images)
    whole = task.logits("zero", False, torch.ones(1, task.bands, dtype=torch.bool))[:, 0]
    score, right = task.scores(whole[:, None])[:, 0], whole.argmax(1) == task.labels
    spectrum, rows = analyse(task.images, task.basis), []
    options = {"basis": task.basis, "baseline": None, "clip": False, "chunk": task.chunk}
    for band in range(task.bands):
        mask = (task.index == band).to(task.images.device)
        rest = synthesise(spectrum * (~mask & (task.index > 0).to(mask.device)), task.basis)
        removed = synthesise(spectrum * mask, task.basis)
        sizes = [each.flatten(1).norm(dim=1) for each in (removed, rest)]
        scale = torch.where(sizes[1] > 0, sizes[0] / sizes[1].clamp_min(1e-12), 0.0).clamp(max=1)
        cell = {"image": np.arange(n), "band": band, "right": right.cpu().numpy()}
        changed = {"without": task.images - removed, "other": task.images - scale[:, None, None, None] * rest}
        everything = torch.zeros_like(task.index)
        for name, x in changed.items():
            logits = coalition_logits(task.model, x, everything, torch.ones(1, 1, dtype=torch.bool), **options)[:, 0]
            cell[f"right_{name}"] = (logits.argmax(1) == task.labels).cpu().numpy()
            cell[f"drop_{name}"] = (score - task.scores(logits[:, None])[:, 0]).cpu().numpy()
        rows.append(pd.DataFrame(cell))
    return pd.concat(rows, ignore_index=True)


def _symmetric(priority: Tensor, task: Task) -> Tensor:
    """Priorities as they are, in the DFT the mean of a coefficient and its mirror."""
    return priority if task.basis == "dct" else (priority + _mirrored(priority)) / 2


def _mirrored(values: Tensor) -> Tensor:
    return values.flip(-2, -1).roll((1, 1), (-2, -1))


def _rows(curve: Tensor, order: str, unit: str, kind: str) -> pd.DataFrame:
    steps = pd.DataFrame(curve.cpu().double().numpy(), columns=[f"step_{k}" for k in range(curve.shape[1])])
    front = {"order": order, "unit": unit, "kind": kind, "image": np.arange(len(curve))}
    return pd.concat([pd.DataFrame(front), steps], axis=1)
