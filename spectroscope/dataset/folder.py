"""Folders of image files, one folder for each class."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from spectroscope.dataset.decode import check_header, decode_all
from spectroscope.dataset.files import nothing_found, sha256_of
from spectroscope.dataset.splits import SPLITS, Dataset, Limit, Side, class_balanced_order
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings

NO_CLASSES = ("@eaDir", "__MACOSX")  # what network drives and archives add, besides names that begin with a dot


class FolderSettings(Settings):
    """`train` and `test` are folders with one folder for each class; `size` null keeps the images as they are."""

    name: Literal["imagefolder"]
    train: str
    test: str
    channels: Literal[1, 3]
    size: Side | None
    limit: Limit
    seed: Seed


def load(settings: FolderSettings) -> Dataset:
    """Images (N, channels, H, W); the classes are the folder names in sorted order, the same in both splits.

    The digest is that of the files read. Links to folders are followed. ValueError naming the folder or file that is
    missing, empty or damaged, and the link that leads nowhere; a file that is no image is an error, whether it is drawn
    or not, unless it or its folder is hidden (its name begins with a dot, or is one of NO_CLASSES).
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
    paths = [path for path in root.iterdir() if not _hidden(path.name)]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: expected a folder or a file, got a link that leads nowhere")
    names = tuple(sorted(path.name for path in paths if path.is_dir()))
    if not names:
        raise ValueError(f"{root}: expected one folder for each class, got none")
    return names


def _choose(root: Path, classes: tuple[str, ...], settings: FolderSettings, split: str) -> tuple[list[Path], Tensor]:
    """The files of a split in their order, and their labels (N,)."""
    labelled = [(path, label) for label, name in enumerate(classes) for path in sorted(_files(root / name))]
    labels = torch.tensor([label for _, label in labelled], dtype=torch.int64)
    random, limit = generator(settings.seed, SPLITS.index(split)), getattr(settings.limit, split)
    order = class_balanced_order(labels, classes, limit, random, f"{split}: {root}")
    for row in set(range(len(labelled))) - set(order.tolist()):  # the others are decoded as a whole
        check_header(labelled[row][0])
    return [labelled[row][0] for row in order.tolist()], labels[order]


def _files(folder: Path) -> Iterator[Path]:
    """Every file in a folder, and in those within and behind links, that is not hidden; each folder once."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [name for name in folders if not _hidden(name) and real not in seen]
        if real in seen:  # a link to a folder above
            continue
        seen.add(real)
        for name in names:
            path = Path(place, name)
            if _hidden(name):
                continue
            if not path.exists():
                raise ValueError(f"{path}: expected an image, got a link that leads nowhere")
            yield path


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in NO_CLASSES


def _read(files: list[Path], labels: Tensor, classes: tuple[str, ...], settings: FolderSettings, split: str) -> Images:
    encoded = ((index, file.read_bytes(), str(file)) for index, file in enumerate(files))
    pixels = decode_all(encoded, len(files), settings.channels, settings.size, f"decode {split}")
    return Images(pixels, labels, classes)
