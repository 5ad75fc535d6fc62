"""The data sets that can be loaded: the function of each name, and the settings they take."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

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

    ValueError naming the file, folder, URL, column or row at fault; also for splits whose images differ in shape, and
    for a single class.
    """
    dataset = DATASETS[settings.name](settings)
    train, test = (tuple(split.pixels.shape[1:]) for split in (dataset.train, dataset.test))
    if train != test:
        raise ValueError(f"{settings.name}: expected test images of train's shape {train}, got {test}")
    if len(dataset.train.classes) < 2:
        raise ValueError(f"{settings.name}: expected at least two classes, got {', '.join(dataset.train.classes)}")
    return dataset
