"""Folders of image files, one folder for each class."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from spectroscope.dataset.decode import stack
from spectroscope.dataset.splits import SPLITS, Count, Dataset, Limit, Seed, digest, draw, missing
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings


class FolderSettings(Settings):
    """`train` and `test` are folders with one folder for each class; `size` null keeps the images as they are."""

    name: Literal["imagefolder"]
    train: str
    test: str
    channels: Literal[1, 3]
    size: Count | None
    limit: Limit
    seed: Seed


def load(settings: FolderSettings) -> Dataset:
    """Images (N, channels, H, W); the classes are the folder names in sorted order, the same in both splits.

    The digest covers the files drawn. ValueError naming the folder or file that is missing, empty or damaged; a file
    that is no image is an error unless its name begins with a dot.
    """
    roots = {split: Path(getattr(settings, split)) for split in SPLITS}
    classes = {split: _folders(roots[split]) for split in SPLITS}
    if roots["train"].resolve() == roots["test"].resolve():
        raise ValueError(f"{roots['test']}: expected two folders, got one for train and test")
    if classes["train"] != classes["test"]:
        differing = ", ".join(sorted(set(classes["train"]) ^ set(classes["test"])))
        raise ValueError(f"{roots['test']}: expected the classes of {roots['train']}, they differ in: {differing}")
    drawn = {split: _draw(roots[split], classes["train"], settings, split) for split in SPLITS}
    train, test = (_read(*drawn[split], classes["train"], settings, split) for split in SPLITS)
    return Dataset(train, test, digest(sorted(file for files, _ in drawn.values() for file in files)))


def _folders(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with one folder for each class, {missing(str(root))}")
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise ValueError(f"{root}: expected one folder for each class, got none")
    return names


def _draw(root: Path, classes: tuple[str, ...], settings: FolderSettings, split: str) -> tuple[list[Path], Tensor]:
    """The files of a split in their order, and their labels (N,)."""
    members = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    labels = torch.tensor([label for _, label in members], dtype=torch.int64)
    seeded = generator(settings.seed, SPLITS.index(split))
    order = draw(labels, classes, getattr(settings.limit, split), seeded, f"{split}: {root}")
    return [members[row][0] for row in order.tolist()], labels[order]


def _read(files: list[Path], labels: Tensor, classes: tuple[str, ...], settings: FolderSettings, split: str) -> Images:
    pixels = stack(_encoded(files), len(files), settings.channels, settings.size, f"decode {split}")
    return Images(pixels, labels, classes)


def _encoded(files: list[Path]) -> Iterator[tuple[int, bytes, str]]:
    for place, file in enumerate(files):
        yield place, file.read_bytes(), str(file)
