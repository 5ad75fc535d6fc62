"""Multiverse: Occluded Frequency under every combination of analysis choices that have no agreed answer."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import pandas as pd
from pydantic import Field

from spectroscope.attribution.baselines import Baseline
from spectroscope.attribution.coalitions import all_but_one
from spectroscope.attribution.compare import band_index, band_table, describe_bands
from spectroscope.attribution.scores import Score, coalition_scores
from spectroscope.attribution.task import Task
from spectroscope.frequency.partitions import Partition
from spectroscope.frequency.spectrum import Basis
from spectroscope.pipeline.params import Distinct, Settings
from spectroscope.pipeline.progress import track


class MultiverseSettings(Settings):
    """Choices whose every combination is computed, on the first n_images of the compared images."""

    n_images: Annotated[int, Field(ge=2)]
    bases: Annotated[list[Basis], Field(min_length=1), Distinct]
    shapes: Annotated[list[Partition], Field(min_length=1), Distinct]
    baselines: Annotated[list[Baseline], Field(min_length=1), Distinct]
    scores: Annotated[list[Score], Field(min_length=1), Distinct]
    clips: Annotated[list[bool], Field(min_length=1), Distinct]


def multiverse(task: Task, settings: MultiverseSettings, bands: int | None) -> pd.DataFrame:
    """Occluded Frequency by every combination: rows band_0, ..., basis, shape, baseline, score, clip, image, label.

    Combinations that differ in the score alone share their forward passes.
    """
    tables = []
    replacements = list(itertools.product(settings.baselines, settings.clips))
    tasks = list(_partitioned(task, settings, bands))
    for (shape, subtask), (baseline, clip) in track(list(itertools.product(tasks, replacements)), "multiverse"):
        logits = subtask.logits(all_but_one(subtask.n_bands), baseline, clip)
        for score in settings.scores:
            values = coalition_scores(logits, subtask.labels, score)
            choices = {"basis": subtask.basis, "shape": shape, "baseline": baseline, "score": score, "clip": clip}
            rows = band_table(values[:, :1] - values[:, 1:]).assign(**choices)
            tables.append(rows.assign(image=range(len(rows)), label=subtask.labels.cpu().numpy()))
    return pd.concat(tables, ignore_index=True)


def multiverse_bands(task: Task, settings: MultiverseSettings, bands: int | None) -> pd.DataFrame:
    """The bands of every basis and shape on the images of `multiverse`, as of `compare.describe_bands`.

    Bands of equal energy, and every band's energy, depend on the images: they are not those of the compared methods
    where these have another number of images.
    """
    tasks = _partitioned(task, settings, bands)
    return pd.concat([describe_bands(t.images, t.index, t.basis, shape) for shape, t in tasks])


def _partitioned(task: Task, settings: MultiverseSettings, bands: int | None) -> Iterator[tuple[Partition, Task]]:
    """The task on the first images, with the bands of every basis and shape."""
    images, labels = task.images[: settings.n_images], task.labels[: settings.n_images]
    for basis, shape in itertools.product(settings.bases, settings.shapes):
        index = band_index(images, shape, bands, basis)
        yield shape, replace(task, images=images, labels=labels, basis=basis, index=index)
