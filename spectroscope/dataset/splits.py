"""A data set is two splits; the order of a split lets every later stage take its first n images.

A split is drawn in rounds, one image of each class a round, until each class is used up: the first n images are as
balanced over the classes as the split allows, and `limit` is nothing but a shorter draw.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import Settings

SPLITS = ("train", "test")
Seed = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(gt=0)]


class Limit(Settings):
    """The number of images of each split; null takes all of them."""

    train: Count | None
    test: Count | None


@dataclass(frozen=True)
class Dataset:
    """Train and test images with uint8 pixels (N, C, H, W), and the sha256 of what they were read from."""

    train: Images
    test: Images
    digest: str


def draw(labels: Tensor, classes: Sequence[str], limit: int | None, generator: torch.Generator, where: str) -> Tensor:
    """Row numbers (limit,) of a split in its seeded, class-interleaved order; all rows when limit is None.

    `labels` (N,) int64 index `classes`. A class that is rare in the split is used up early: its share of a short
    draw is that of every other class, not the one it has in the whole split.
    ValueError naming `where`: no images, a label out of range, a class without images, more images asked for than
    there are, or fewer than one a class.
    """
    if not len(labels):
        raise ValueError(f"{where}: expected images, got none")
    check_labels(labels, classes, where)
    counts = torch.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if empty:
        raise ValueError(f"{where}: expected images of each of {len(classes)} classes, got none of {_some(empty)}")
    if limit is not None and not len(classes) <= limit <= len(labels):
        raise ValueError(
            f"{where}: expected a limit from {len(classes)} (one image a class) to {len(labels)} (all there are), "
            f"got {limit}"
        )
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = torch.argsort(labels[shuffled], stable=True)
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)  # (N,) where the class of each begins in by_class
    turn = torch.empty_like(labels)
    turn[by_class] = torch.arange(len(labels)) - first
    return shuffled[torch.argsort(turn, stable=True)][:limit]


def check_labels(labels: Tensor, classes: Sequence[str], where: str) -> None:
    """ValueError naming `where` and the row of the first label (N,) that is not the number of a class."""
    outside = torch.nonzero((labels < 0) | (labels >= len(classes))).flatten()
    if len(outside):
        row = int(outside[0])
        raise ValueError(f"{where}: row {row}: expected a label 0..{len(classes) - 1}, got {int(labels[row])}")


def digest(paths: Iterable[Path]) -> str:
    """sha256 of the bytes of these files, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def missing(path: str) -> str:
    """What to say of a path under which there is nothing."""
    if Path(path).is_absolute():
        return "found nothing there"
    return f"found nothing there from {Path.cwd()} (an absolute path holds in the copies `dvc exp` works in, too)"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
