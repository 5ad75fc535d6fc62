"""Patches of the photographs that come with scikit-image: real pixels where there is no network.

Each photograph is a class. It is laid out in square tiles with a gap between them; some tiles are for testing, the
others for training, and a patch lies wholly within one tile: no pixel serves both. Patches of one split may overlap,
so n patches are fewer than n independent images.
"""

import hashlib
from importlib.resources import files
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.dataset.decode import decode
from spectroscope.dataset.splits import SPLITS, Count, Dataset, Seed, draw
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings


class PerClass(Settings):
    """The number of patches of each class in each split."""

    train: Count
    test: Count


class PhotosSettings(Settings):
    """Patches of `size` x `size` pixels; lengths in pixels, the standard deviation in grey levels of 0..255."""

    name: Literal["photos"]
    photographs: Annotated[list[str], Field(min_length=2)]
    size: Count
    tile: Count
    gap: Annotated[int, Field(ge=0)]
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

    ValueError for a photograph that is not bundled or has too few patches.
    """
    total = hashlib.sha256()
    patches: dict[str, list[Tensor]] = {split: [] for split in SPLITS}
    for label, name in enumerate(settings.photographs):
        encoded = _bundled(name)
        total.update(encoded)
        photograph = torch.from_numpy(decode(encoded, 1, None, name)[0].copy())  # (H, W)
        spots = positions(photograph, name, settings, generator(settings.seed, 0, label))
        windows = photograph.unfold(0, settings.size, 1).unfold(1, settings.size, 1)  # (H', W', size, size)
        for split in SPLITS:
            patches[split].append(windows[spots[split][:, 0], spots[split][:, 1]])
    train, test = (_split(patches[split], settings, key) for key, split in enumerate(SPLITS, start=1))
    return Dataset(train, test, total.hexdigest())


def positions(photograph: Tensor, name: str, settings: PhotosSettings, generator: torch.Generator) -> dict[str, Tensor]:
    """Where the patches of each split are cut from a photograph (H, W) uint8: (per_class, 2) rows of top and left.

    Only patches with a standard deviation of at least `min_std_255` count; `test_share` is a share of the tiles that
    have one. ValueError when a split has too few.
    """
    size, step = settings.size, settings.tile + settings.gap
    if min(photograph.shape) < size:
        raise ValueError(f"photograph {name}: expected at least {size}x{size} pixels, got {tuple(photograph.shape)}")
    top, left = (torch.arange(length - size + 1) for length in photograph.shape)
    within = torch.outer(top % step <= settings.tile - size, left % step <= settings.tile - size)
    tile = (top // step)[:, None] * (len(left) // step + 1) + left // step  # (H', W') the tile of each position
    usable = within & (_std(photograph, size) >= settings.min_std_255)
    tiles = tile[usable].unique()
    tiles = tiles[torch.randperm(len(tiles), generator=generator)]
    testing = torch.isin(tile, tiles[: round(settings.test_share * len(tiles))])
    spots = {"train": torch.nonzero(usable & ~testing), "test": torch.nonzero(usable & testing)}
    for split in SPLITS:
        wanted = getattr(settings.per_class, split)
        if len(spots[split]) < wanted:
            raise ValueError(
                f"photograph {name}: expected {wanted} {split} patches of standard deviation "
                f">= {settings.min_std_255:g}, got {len(spots[split])}"
            )
        spots[split] = spots[split][torch.randperm(len(spots[split]), generator=generator)[:wanted]]
    return spots


def _std(photograph: Tensor, size: int) -> Tensor:
    """Standard deviation of the patch at each position, from integer sums: (H - size + 1, W - size + 1) float64."""
    values = photograph.long()
    mean, square = (_sums(power, size).double() / size**2 for power in (values, values**2))
    return (square - mean**2).clamp(min=0).sqrt()


def _sums(values: Tensor, size: int) -> Tensor:
    """Sum of each size x size window of (H, W), by differences of running sums."""
    running = torch.nn.functional.pad(values.cumsum(0).cumsum(1), (1, 0, 1, 0))
    rows = running[size:] - running[:-size]
    return rows[:, size:] - rows[:, :-size]


def _split(patches: list[Tensor], settings: PhotosSettings, key: int) -> Images:
    pixels = torch.cat(patches)[:, None].expand(-1, 3, -1, -1)  # (N, 3, size, size)
    labels = torch.arange(len(patches)).repeat_interleave(torch.tensor([len(each) for each in patches]))
    order = draw(labels, settings.photographs, None, generator(settings.seed, key), "photos")
    return Images(pixels[order].contiguous(), labels[order], tuple(settings.photographs))


def _bundled(name: str) -> bytes:
    known = {file.name.split(".")[0]: file for file in (files("skimage") / "data").iterdir() if _is_image(file.name)}
    if name not in known:
        raise ValueError(f"photograph {name!r} does not come with scikit-image, which has: {', '.join(sorted(known))}")
    return known[name].read_bytes()


def _is_image(name: str) -> bool:
    return name.endswith((".png", ".jpg"))
