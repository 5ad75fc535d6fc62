"""The data sets that torchvision downloads and checks."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from spectroscope.dataset.splits import SPLITS, Dataset, Limit, Seed, draw, missing
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings

CLASSES = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN", "stl10": "STL10"}


class TorchvisionSettings(Settings):
    """`root` is torchvision's folder: where the files are, or where `download` puts them."""

    name: Literal["cifar10", "cifar100", "svhn", "stl10"]
    root: str
    download: bool
    limit: Limit
    seed: Seed


def load(settings: TorchvisionSettings) -> Dataset:
    """Images (N, 3, 32, 32), stl10 (N, 3, 96, 96); the classes are digits where torchvision has no names (svhn).

    The digest is that of the arrays as torchvision hands them out, after it has compared the files with its own
    checksums. ValueError for a root without the files, for files with another checksum and for a failed download.
    """
    root = Path(settings.root)
    if not settings.download and not root.is_dir():
        raise ValueError(f"{root}: expected the files of {settings.name}, {missing(settings.root)} (or set `download`)")
    total = hashlib.sha256()
    train, test = (_read(settings, split, total) for split in SPLITS)
    return Dataset(train, test, total.hexdigest())


def _read(settings: TorchvisionSettings, split: str, total: Any) -> Images:
    source = _open(settings, split)
    arrays, given = source.data, source.targets if settings.name.startswith("cifar") else source.labels
    pixels = torch.from_numpy(arrays if arrays.shape[1] == 3 else arrays.transpose(0, 3, 1, 2))  # (N, 3, H, W)
    labels = torch.from_numpy(np.asarray(given, dtype=np.int64))
    total.update(np.ascontiguousarray(arrays))
    total.update(labels.numpy())
    classes = tuple(getattr(source, "classes", map(str, range(10))))
    where = f"{settings.root}: {settings.name} {split}"
    order = draw(labels, classes, getattr(settings.limit, split), generator(settings.seed, SPLITS.index(split)), where)
    return Images(pixels[order].contiguous(), labels[order], classes)


def _open(settings: TorchvisionSettings, split: str) -> Any:
    import torchvision  # 7 s on a slow machine, hence here

    which = {"train": split == "train"} if settings.name.startswith("cifar") else {"split": split}
    try:
        return getattr(torchvision.datasets, CLASSES[settings.name])(
            root=settings.root, download=settings.download, **which
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{settings.root}: expected the {split} files of {settings.name}, got: {reason}") from None
