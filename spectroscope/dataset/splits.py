"""A data set: a train and a test split, each in an order whose first n images are class-balanced for every n.

The order takes one image of each class in turn until every class is used up. Later stages take the first n images of
a split; `limit` ends the same order earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import Settings

SPLITS = ("train", "test")
Count = Annotated[int, Field(gt=0)]
Side = Annotated[int, Field(gt=0, le=4096)]  # of an image, in pixels


class Limit(Settings):
    """Number of images of each split; null takes all of them."""

    train: Count | None
    test: Count | None


class PerClass(Settings):
    """Number of images of each class in each split."""

    train: Count
    test: Count


@dataclass(frozen=True)
class Dataset:
    """Train and test images, uint8 pixels (N, C, H, W), and the sha256 of the files or settings they came from."""

    train: Images
    test: Images
    digest: str


def class_balanced_order(
    labels: Tensor, classes: Sequence[str], limit: int | None, generator: torch.Generator, origin: str
) -> Tensor:
    """Row numbers (limit,) of a split in a random, class-balanced order; all rows where limit is None.

    labels: (N,) int64, indices of `classes`. A rare class is used up early: in a short order it has the share of every
    other class, not its share of the whole split.
    ValueError naming `origin`: no images, a label out of range, a class without images, a limit above the number of
    images or below one image of each class.
    """
    if not len(labels):
        raise ValueError(f"{origin}: expected images, got none")
    check_labels(labels, classes, origin)
    counts = torch.bincount(labels, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if count == 0]
    if empty:
        raise ValueError(f"{origin}: expected images of each of {len(classes)} classes, got none of {_few(empty)}")
    if limit is not None and not len(classes) <= limit <= len(labels):
        raise ValueError(
            f"{origin}: expected a limit from {len(classes)} (one image of each class) to {len(labels)} (all images), "
            f"got {limit}"
        )
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = torch.argsort(labels[shuffled], stable=True)
    class_start = (counts.cumsum(0) - counts).repeat_interleave(counts)  # (N,) first place of its class in by_class
    turn = torch.empty_like(labels)
    turn[by_class] = torch.arange(len(labels)) - class_start
    return shuffled[torch.argsort(turn, stable=True)][:limit]


def check_labels(labels: Tensor, classes: Sequence[str], origin: str) -> None:
    """ValueError naming `origin` and the row of the first label (N,) that is not an index of `classes`."""
    outside = torch.nonzero((labels < 0) | (labels >= len(classes))).flatten()
    if len(outside):
        row = int(outside[0])
        raise ValueError(f"{origin}: row {row}: expected a label 0..{len(classes) - 1}, got {int(labels[row])}")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
