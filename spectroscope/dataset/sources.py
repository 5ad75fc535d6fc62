"""Which images: one function that loads any of the known data sets, whole and checked."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from spectroscope.dataset import folder, parquet, photos, planted, torchvision_sets
from spectroscope.dataset.folder import FolderSettings
from spectroscope.dataset.parquet import ParquetSettings
from spectroscope.dataset.photos import PhotosSettings
from spectroscope.dataset.planted import PlantedSettings
from spectroscope.dataset.splits import Dataset
from spectroscope.dataset.torchvision_sets import TorchvisionSettings

DatasetSettings = Annotated[
    PhotosSettings | PlantedSettings | TorchvisionSettings | ParquetSettings | FolderSettings,
    Field(discriminator="name"),
]

SOURCES: dict[str, Callable[[Any], Dataset]] = {
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
    """The data set that `settings.name` names, its splits in a seeded, class-interleaved order.

    ValueError naming the file, folder, URL, column or row at fault, and for splits whose images differ in shape.
    """
    dataset = SOURCES[settings.name](settings)
    train, test = (tuple(split.pixels.shape[1:]) for split in (dataset.train, dataset.test))
    if train != test:
        raise ValueError(f"{settings.name}: expected test images of train's shape {train}, got {test}")
    return dataset
