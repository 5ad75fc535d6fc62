"""The data sets that can be loaded: the function of each name, and the settings they take."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from spectroscope.dataset import folder, parquet, photos, planted, torchvision_sets
from spectroscope.dataset.splits import Dataset

DatasetSettings = Annotated[
    photos.PhotosSettings
    | planted.PlantedSettings
    | torchvision_sets.TorchvisionSettings
    | parquet.ParquetSettings
    | folder.FolderSettings,
    Field(discriminator="name"),
]

MOST_SHARED = 0.1  # of the test images may be training images, pixel for pixel; CIFAR-10 has a few

DATASETS: dict[str, Callable[[Any], Dataset]] = {
    "photos": photos.load,
    "planted": planted.load,
    "cifar10": torchvision_sets.load,
    "cifar100": torchvision_sets.load,
    "svhn": torchvision_sets.load,
    "stl10": torchvision_sets.load,
    "parquet": parquet.load,
    "imagefolder": folder.load,
}


def load(settings: DatasetSettings) -> Dataset:
    """The data set `settings.name`, each split in a seeded, class-balanced order.

    ValueError naming the file, folder, URL, column or row at fault; also for splits whose images differ in shape, for a
    single class or one without a name of its own, and for test images of which more than MOST_SHARED are training
    images.
    """
    dataset = DATASETS[settings.name](settings)
    train, test = (tuple(split.pixels.shape[1:]) for split in (dataset.train, dataset.test))
    if train != test:
        raise ValueError(f"{settings.name}: expected test images of train's shape {train}, got {test}")
    if len(dataset.train.classes) < 2:
        raise ValueError(f"{settings.name}: expected at least two classes, got {', '.join(dataset.train.classes)}")
    _check_names(dataset.train.classes, settings.name)
    known = set(_digests(dataset.train.pixels))
    shared = sum(digest in known for digest in _digests(dataset.test.pixels))
    if shared > MOST_SHARED * len(dataset.test):
        raise ValueError(
            f"{settings.name}: expected test images that are not training images, got {shared} of "
            f"{len(dataset.test)} that are, pixel for pixel"
        )
    return dataset


def _check_names(classes: Iterable[str], origin: str) -> None:
    """ValueError for a class without a name of its own, and for a name that cannot be written."""
    seen = set()
    for name in classes:
        if not name.strip() or name in seen:
            twice = " twice" if name in seen else ""
            raise ValueError(f"{origin}: expected a name of its own for each class, got {name!r}{twice}")
        if name.encode(errors="ignore").decode() != name:
            raise ValueError(f"{origin}: expected names of classes in UTF-8, got {name!r}")
        seen.add(name)


def _digests(pixels: Tensor) -> Iterable[bytes]:
    return (hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in pixels)
