"""Patches of the photographs that come with scikit-image: real pixels without a download.

Each photograph is a class. It is divided into square tiles with a gap between them; some tiles are for testing, the
others for training, and a patch lies wholly within one tile: no pixel serves both. Patches of one tile may overlap, so
n patches are fewer than n independent images: the tile is the cluster of its patches.
"""

import hashlib
import math
from importlib.resources import files
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.dataset.decode import decode
from spectroscope.dataset.splits import SPLITS, Dataset, PerClass, Side, class_balanced_order
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings


class PhotosSettings(Settings):
    """Patches of `size` x `size` pixels, `per_class` from each photograph; `size`, `tile` and `gap` in pixels.

    `test_share`: share of the tiles that is for testing. `min_std_255`: least standard deviation of a patch, in grey
    levels of 0..255.
    """

    name: Literal["photos"]
    photographs: Annotated[list[str], Field(min_length=2)]
    size: Side
    tile: Side
    gap: Annotated[int, Field(ge=0, le=4096)]
    test_share: Annotated[float, Field(gt=0, lt=1)]
    min_std_255: Annotated[float, Field(ge=0)]
    per_class: PerClass
    seed: Seed

    @model_validator(mode="after")
    def _fits(self) -> "PhotosSettings":
        if self.tile < self.size:
            raise ValueError(f"expected tile >= size = {self.size}, got {self.tile}")
        if len(set(self.photographs)) < len(self.photographs):
            raise ValueError(f"expected photographs that differ, got {self.photographs}")
        return self


def load(settings: PhotosSettings) -> Dataset:
    """Patches (N, 3, size, size) of three equal channels: luminance as Pillow computes it, nothing normalised.

    The cluster of a patch is its tile; tiles are numbered through all photographs and both splits. The digest is that
    of the photographs. ValueError for one that is not bundled or has too few patches.
    """
    total = hashlib.sha256()
    patches: dict[str, list[Tensor]] = {split: [] for split in SPLITS}
    tiles: dict[str, list[Tensor]] = {split: [] for split in SPLITS}
    tiles_before = 0
    for label, name in enumerate(settings.photographs):
        encoded = _bundled(name)
        total.update(encoded)
        photograph = torch.from_numpy(decode(encoded, 1, None, name)[0].copy())  # (H, W)
        corners = positions(photograph, name, settings, generator(settings.seed, 0, label))
        windows = photograph.unfold(0, settings.size, 1).unfold(1, settings.size, 1)  # (H', W', size, size)
        for split in SPLITS:
            top, left = corners[split].unbind(1)
            patches[split].append(windows[top, left])
            tiles[split].append(tiles_before + _tile(top, left, photograph, settings))
        tiles_before += math.prod(_grid(photograph, settings))
    train, test = (_ordered(patches[split], tiles[split], settings, key) for key, split in enumerate(SPLITS, start=1))
    return Dataset(train, test, total.hexdigest())


def positions(photograph: Tensor, name: str, settings: PhotosSettings, generator: torch.Generator) -> dict[str, Tensor]:
    """Top left corners of the patches of each split in a photograph (H, W) uint8: (per_class, 2) rows and columns.

    Only patches with a standard deviation of at least `min_std_255` count, and `test_share` is a share of the tiles
    that have such a patch. ValueError where a split has fewer than `per_class`.
    """
    size, period = settings.size, settings.tile + settings.gap
    if min(photograph.shape) < size:
        raise ValueError(f"photograph {name}: expected at least {size}x{size} pixels, got {tuple(photograph.shape)}")
    top, left = (torch.arange(length - size + 1) for length in photograph.shape)
    within = torch.outer(top % period <= settings.tile - size, left % period <= settings.tile - size)
    tile = _tile(top[:, None], left, photograph, settings)  # (H', W')
    usable = within & (_std(photograph, size) >= settings.min_std_255)
    tiles = tile[usable].unique()
    tiles = tiles[torch.randperm(len(tiles), generator=generator)]
    testing = torch.isin(tile, tiles[: round(settings.test_share * len(tiles))])
    corners = {"train": torch.nonzero(usable & ~testing), "test": torch.nonzero(usable & testing)}
    for split in SPLITS:
        wanted = getattr(settings.per_class, split)
        if len(corners[split]) < wanted:
            raise ValueError(
                f"photograph {name}: expected {wanted} {split} patches of standard deviation "
                f">= {settings.min_std_255:g}, got {len(corners[split])}"
            )
        corners[split] = corners[split][torch.randperm(len(corners[split]), generator=generator)[:wanted]]
    return corners


def _grid(photograph: Tensor, settings: PhotosSettings) -> tuple[int, int]:
    """Number of tiles of a photograph (H, W) from top to bottom and from left to right, cut off ones included."""
    rows, columns = (math.ceil(length / (settings.tile + settings.gap)) for length in photograph.shape)
    return rows, columns


def _tile(top: Tensor, left: Tensor, photograph: Tensor, settings: PhotosSettings) -> Tensor:
    """Number of the tile at each position of a photograph (H, W), row by row."""
    period = settings.tile + settings.gap
    return top // period * _grid(photograph, settings)[1] + left // period


def _std(photograph: Tensor, size: int) -> Tensor:
    """Standard deviation of the patch at each position, from integer sums: (H - size + 1, W - size + 1) float64."""
    values = photograph.long()
    mean, square = (_window_sums(power, size).double() / size**2 for power in (values, values**2))
    return (square - mean**2).clamp(min=0).sqrt()


def _window_sums(values: Tensor, size: int) -> Tensor:
    """Sum of each size x size window of (H, W), from differences of cumulative sums."""
    cumulative = torch.nn.functional.pad(values.cumsum(0).cumsum(1), (1, 0, 1, 0))
    rows = cumulative[size:] - cumulative[:-size]
    return rows[:, size:] - rows[:, :-size]


def _ordered(patches: list[Tensor], tiles: list[Tensor], settings: PhotosSettings, key: int) -> Images:
    pixels = torch.cat(patches)[:, None].expand(-1, 3, -1, -1)  # (N, 3, size, size)
    labels = torch.arange(len(patches)).repeat_interleave(torch.tensor([len(of_class) for of_class in patches]))
    order = class_balanced_order(labels, settings.photographs, None, generator(settings.seed, key), "photos")
    return Images(pixels[order].contiguous(), labels[order], tuple(settings.photographs), torch.cat(tiles)[order])


def _bundled(name: str) -> bytes:
    folder = files("skimage") / "data"
    bundled = {file.name.split(".")[0]: file for file in folder.iterdir() if file.name.endswith((".png", ".jpg"))}
    if name not in bundled:
        known = ", ".join(sorted(bundled))
        raise ValueError(f"photograph {name!r} does not come with scikit-image, which has: {known}")
    return bundled[name].read_bytes()
