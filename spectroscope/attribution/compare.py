"""All methods on one network: attributions of the same images, bands, basis and score, and their tables."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from spectroscope.attribution.heat_map import centred
from spectroscope.attribution.inputs import Model
from spectroscope.attribution.registry import MethodSettings, attribute
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.task import Attribution, Task
from spectroscope.frequency.partitions import Partition, by_band, mean_power, partition, positions
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline import machine, memory, passes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images

WAVES = ("heat_map", "fourier_attack")  # methods whose coefficients are those of the DFT in every basis


def task_of(model: Model, test: Images, settings: AttributionSettings, seed: int) -> Task:
    """The task of one network: the images, on the device at hand, and the bands of `settings.compared`."""
    kind, bands = settings.compared.shape, settings.compared.bands
    images, labels = test.pixels.to(machine.device()), test.labels.to(machine.device())
    index = band_index(images, kind, bands, settings.basis)
    waves = any(method.method in WAVES for method in settings.methods.values())
    dft_index = band_index(images, kind, bands, "dft") if waves else index  # the DFT may have too few shells
    chunk = passes.forward_batch_size(model, images)
    return Task(model, images, labels, settings.basis, index, dft_index, settings.compared.score, seed, chunk)


def attribute_all(task: Task, methods: dict[str, MethodSettings], store: Store) -> dict[str, Attribution]:
    """Attribution of the task by each method, by the method's name in params.yaml.

    Each is kept in `store` as soon as it is computed: a killed process goes on with the next method, and several
    processes share the methods out.
    """
    names = list(methods)

    def compute(place: int) -> dict[str, Tensor]:
        method = methods[names[place]]
        attribution = memory.halving(lambda size: attribute(task.in_chunks(size), method), task.chunk)
        return {key: value for key, value in vars(attribution).items() if value is not None}

    saved = store.load_or_compute([f"{task.seed}-{name}" for name in names], compute, "attribution methods")
    return {
        name: Attribution(tensors["values"], tensors.get("coefficients"), tensors["error"], tensors.get("beyond"))
        for name, tensors in zip(names, saved, strict=True)
    }


def tables(task: Task, attributions: dict[str, Attribution], settings: AttributionSettings) -> dict[str, pd.DataFrame]:
    """The attributions of one network as three tables, each with a column seed.

    values: band_0, ..., image, error, beyond, method, right (whether the prediction is the label), label. bands: see
    `describe_bands`. maps: u, v, value, method: mean over images of each coefficient, heat maps with DC in the centre.
    """
    clean = memory.halving(lambda size: task.in_chunks(size).clean_logits(), task.chunk)
    right = (clean.argmax(1) == task.labels).cpu().numpy()
    values = pd.concat(
        value_rows(attribution).assign(method=name, right=right) for name, attribution in attributions.items()
    )
    maps = [
        _map_rows(attribution.coefficients, settings.methods[name].method in WAVES).assign(method=name)
        for name, attribution in attributions.items()
        if attribution.coefficients is not None
    ]
    found = {
        "values": values.assign(label=task.labels.cpu().numpy()[values["image"]]),
        "bands": describe_bands(task.images, task.index, task.basis, settings.compared.shape),
        "maps": pd.concat(maps or [pd.DataFrame()]),
    }
    return {name: table.assign(seed=task.seed) if len(table) else table for name, table in found.items()}


def value_rows(attribution: Attribution) -> pd.DataFrame:
    """One row for each image: band_0, band_1, ..., image, error, beyond (NaN for a method without a tolerance)."""
    rows = band_table(attribution.values)
    beyond = torch.full((len(rows),), torch.nan) if attribution.beyond is None else attribution.beyond
    columns = {"error": attribution.error, "beyond": beyond}
    numbers = {name: values.cpu().double().numpy() for name, values in columns.items()}
    return rows.assign(image=np.arange(len(rows)), **numbers)


def band_table(values: Tensor) -> pd.DataFrame:
    """Values (N, B) as columns band_0, band_1, ..."""
    return pd.DataFrame(values.cpu().double().numpy(), columns=[f"band_{k}" for k in range(values.shape[1])])


def band_index(images: Tensor, kind: Partition, bands: int | None, basis: Basis) -> Tensor:
    """Band of each coefficient for a partition of these images (H, W); octaves have their own number of bands."""
    height, width = images.shape[-2:]
    power = mean_power(images, basis).cpu() if kind == "equal_energy" else None
    return partition(height, width, kind, None if kind == "octave" else bands, basis, power)


def describe_bands(images: Tensor, index: Tensor, basis: Basis, kind: Partition) -> pd.DataFrame:
    """One row for each band: basis, shape, band, size in coefficients, energy (mean over images), position (0..1)."""
    energy = by_band(mean_power(images, basis).cpu().double(), index)
    size, position = torch.bincount(index.flatten()), positions(index, basis)
    columns = {"size": size.numpy(), "energy": energy.numpy(), "position": position.numpy()}
    return pd.DataFrame({"basis": basis, "shape": kind, "band": range(len(size)), **columns})


def _map_rows(coefficients: Tensor, waves: bool) -> pd.DataFrame:
    mean = coefficients.mean(0)
    mean = centred(mean) if waves else mean
    u, v = np.indices(mean.shape).reshape(2, -1)
    return pd.DataFrame({"u": u, "v": v, "value": mean.flatten().cpu().double().numpy()})
