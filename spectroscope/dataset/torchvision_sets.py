"""CIFAR-10, CIFAR-100, SVHN and STL-10, which torchvision downloads and checks."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from spectroscope.dataset.files import nothing_found
from spectroscope.dataset.splits import SPLITS, Dataset, Limit, class_balanced_order
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings

TORCHVISION_NAMES = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "svhn": "SVHN", "stl10": "STL10"}


class TorchvisionSettings(Settings):
    """`root` is torchvision's folder: where the files are, or where `download` puts them."""

    name: Literal["cifar10", "cifar100", "svhn", "stl10"]
    root: str
    download: bool
    limit: Limit
    seed: Seed


def load(settings: TorchvisionSettings) -> Dataset:
    """Images (N, 3, 32, 32), stl10 (N, 3, 96, 96); the classes are digits where torchvision has no names (svhn).

    The digest is that of torchvision's arrays, after it has compared the files with its own checksums.
    ValueError for a root without the files, for files with another checksum and for a failed download.
    """
    root = Path(settings.root)
    if not settings.download and not root.is_dir():
        found = nothing_found(settings.root)
        raise ValueError(f"{root}: expected the files of {settings.name}, {found} (or set `download`)")
    total = hashlib.sha256()
    train, test = (_read(settings, split, total) for split in SPLITS)
    return Dataset(train, test, total.hexdigest())


def _read(settings: TorchvisionSettings, split: str, total: "hashlib._Hash") -> Images:
    """The images of a split in their order; its arrays are added to the digest `total`."""
    source = _open(settings, split)
    arrays = source.data
    targets = source.targets if hasattr(source, "targets") else source.labels  # the CIFAR sets have `targets`
    labels = torch.from_numpy(np.asarray(targets, np.int64))
    pixels = torch.from_numpy(arrays if arrays.shape[1] == 3 else arrays.transpose(0, 3, 1, 2))  # (N, 3, H, W)
    for array in (arrays, labels.numpy()):
        total.update(np.ascontiguousarray(array).data)
    classes = tuple(getattr(source, "classes", map(str, range(10))))
    limit, random = getattr(settings.limit, split), generator(settings.seed, SPLITS.index(split))
    order = class_balanced_order(labels, classes, limit, random, f"{settings.root}: {settings.name} {split}")
    return Images(pixels[order].contiguous(), labels[order], classes)


def _open(settings: TorchvisionSettings, split: str) -> Any:
    import torchvision  # here, since it takes 7 s on a slow machine

    kind = getattr(torchvision.datasets, TORCHVISION_NAMES[settings.name])
    choice = {"train": split == "train"} if settings.name.startswith("cifar") else {"split": split}
    try:
        return kind(root=settings.root, download=settings.download, **choice)
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{settings.root}: expected the {split} files of {settings.name}, got: {reason}") from None
