"""All measures of one network, and the checks of them, as tables."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from spectroscope.attribution.methods import Measured, Task, measure
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import device, forward_batch_size, generator
from spectroscope.validation import faithfulness
from spectroscope.validation.multiverse import bands_of, described, multiverse, shuffled
from spectroscope.validation.settings import ValidationSettings

Tables = dict[str, pd.DataFrame]
TABLES = ("values", "bands", "maps", "curves", "interventions", "sanity", "multiverse")
_WAVES = ("heat_map", "fourier_attack")


def explain(
    model: Callable, test: Images, settings: AttributionSettings, checks: ValidationSettings, seed: int, store: Store
) -> Tables:
    """One network under every measure, and what the checks say of it: a table for each name in TABLES.

    values: method, image, label, right, error, band_0, ...; bands: basis, shape, band, size, energy, position; maps:
    method, u, v, value (mean over images; of heat maps with DC in the centre); curves, interventions, multiverse: see
    there; sanity: method, shuffled (weights), share, image, band_0, ... Every measure is kept in `store` once it is
    done: a killed process goes on with the next, and several processes share them out. A check that is null in the
    settings leaves its table empty.
    """
    task, waved = _task(model, test, settings, seed)
    methods = list(settings.methods.values())
    pieces = [f"{seed}-{name}" for name in settings.methods]
    parts = store.load_or_compute(pieces, lambda place: _computed(task, methods[place]), "measures")
    measured = {
        name: Measured(part["values"], part.get("coefficients"), part["error"])
        for name, part in zip(settings.methods, parts, strict=True)
    }
    whole = torch.ones(1, task.bands, dtype=torch.bool)
    right = (task.logits("zero", False, whole)[:, 0].argmax(1) == task.labels).cpu().numpy()
    values = [_values(each).assign(method=name, right=right) for name, each in measured.items()]
    about = [described(task.images, task.index, task.basis, settings.compared.shape)]
    found = {name: pd.DataFrame() for name in TABLES}
    found["maps"] = pd.concat(
        [
            _map(each, waved[name]).assign(method=name)
            for name, each in measured.items()
            if each.coefficients is not None
        ]
        or [pd.DataFrame()]
    )
    found["interventions"] = faithfulness.interventions(task)
    if checks.faithfulness:
        in_basis = {
            name: each if not waved[name] else replace(each, coefficients=None) for name, each in measured.items()
        }
        found["curves"] = faithfulness.curves(task, in_basis, checks.faithfulness.fractions)
    if checks.multiverse:
        found["multiverse"], more = multiverse(task, checks.multiverse, settings.compared.bands)
        about.append(more)
    if checks.sanity:
        found["sanity"] = pd.concat(
            _sanity(task, settings, checks.sanity.n_images, share) for share in checks.sanity.shares
        )
    found |= {"values": pd.concat(values), "bands": pd.concat(about).drop_duplicates(["basis", "shape", "band"])}
    labels = pd.DataFrame({"image": range(len(task.labels)), "label": task.labels.cpu().numpy()})
    for name in ("values", "curves", "interventions"):
        found[name] = found[name].merge(labels, on="image") if len(found[name]) else found[name]
    return {name: table.assign(seed=seed) if len(table) else table for name, table in found.items()}


def _task(model: Callable, test: Images, settings: AttributionSettings, seed: int) -> tuple[Task, dict[str, bool]]:
    """The network's task, and which methods live among the waves of the DFT."""
    compared = settings.compared
    images, labels = test.pixels.to(device()), test.labels.to(device())
    waved = {name: method.method in _WAVES for name, method in settings.methods.items()}
    index = bands_of(images, compared.shape, compared.bands, settings.basis)
    waves = bands_of(images, compared.shape, compared.bands, "dft") if any(waved.values()) else index
    options = {"score": settings.score, "seed": seed, "chunk": forward_batch_size()}
    return Task(model, images, labels, settings.basis, index, waves, **options), waved


def _computed(task: Task, method: Any) -> dict[str, torch.Tensor]:
    found = measure(task, method)
    tensors = {"values": found.values, "coefficients": found.coefficients, "error": found.error}
    return {key: value for key, value in tensors.items() if value is not None}


def _sanity(task: Task, settings: AttributionSettings, n: int, share: float) -> pd.DataFrame:
    other = shuffled(task.model, share, generator(task.seed, 7))
    part = replace(task, model=other, images=task.images[:n], labels=task.labels[:n], tables={})
    found = {name: measure(part, method) for name, method in settings.methods.items()}
    return pd.concat(_values(each).assign(method=name, shuffled="weights", share=share) for name, each in found.items())


def _values(measured: Measured) -> pd.DataFrame:
    columns = [f"band_{k}" for k in range(measured.values.shape[1])]
    rows = pd.DataFrame(measured.values.cpu().double().numpy(), columns=columns)
    return rows.assign(image=np.arange(len(rows)), error=measured.error.cpu().double().numpy())


def _map(measured: Measured, centred: bool) -> pd.DataFrame:
    mean = measured.coefficients.mean(0)
    mean = torch.fft.fftshift(mean) if centred else mean
    u, v = np.indices(mean.shape).reshape(2, -1)
    return pd.DataFrame({"u": u, "v": v, "value": mean.flatten().cpu().double().numpy()})
