"""Folders of image files, one folder for each class."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from spectroscope.dataset.decode import decode_all
from spectroscope.dataset.files import nothing_found, sha256_of
from spectroscope.dataset.splits import SPLITS, Count, Dataset, Limit, Seed, class_balanced_order
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

    The digest is that of the files read. ValueError naming the folder or file that is missing, empty or damaged; a file
    that is no image is an error unless its name begins with a dot.
    """
    roots = {split: Path(getattr(settings, split)) for split in SPLITS}
    classes = {split: _class_names(roots[split]) for split in SPLITS}
    if roots["train"].resolve() == roots["test"].resolve():
        raise ValueError(f"{roots['test']}: expected two folders, got one for train and test")
    if classes["train"] != classes["test"]:
        differing = ", ".join(sorted(set(classes["train"]) ^ set(classes["test"])))
        raise ValueError(f"{roots['test']}: expected the classes of {roots['train']}, they differ in: {differing}")
    chosen = {split: _choose(roots[split], classes["train"], settings, split) for split in SPLITS}
    train, test = (_read(*chosen[split], classes["train"], settings, split) for split in SPLITS)
    return Dataset(train, test, sha256_of(sorted(file for files, _ in chosen.values() for file in files)))


def _class_names(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder with one folder for each class, {nothing_found(str(root))}")
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise ValueError(f"{root}: expected one folder for each class, got none")
    return names


def _choose(root: Path, classes: tuple[str, ...], settings: FolderSettings, split: str) -> tuple[list[Path], Tensor]:
    """The files of a split in their order, and their labels (N,)."""
    labelled = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    labels = torch.tensor([label for _, label in labelled], dtype=torch.int64)
    random, limit = generator(settings.seed, SPLITS.index(split)), getattr(settings.limit, split)
    order = class_balanced_order(labels, classes, limit, random, f"{split}: {root}")
    return [labelled[row][0] for row in order.tolist()], labels[order]


def _read(files: list[Path], labels: Tensor, classes: tuple[str, ...], settings: FolderSettings, split: str) -> Images:
    encoded = ((index, file.read_bytes(), str(file)) for index, file in enumerate(files))
    pixels = decode_all(encoded, len(files), settings.channels, settings.size, f"decode {split}")
    return Images(pixels, labels, classes)
