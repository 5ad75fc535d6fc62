"""Too little memory: how it is told from other errors, and images in one pass, halved until they fit."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

TOO_LITTLE = ("DefaultCPUAllocator", "not enough memory")  # in torch's RuntimeError, on Linux and on Windows


@dataclass
class BatchSize:
    """Images in one pass; `within_memory` halves it for good."""

    images: int


_fitting = BatchSize(sys.maxsize)  # images in one pass that this process has found to fit; `halving` lowers it


def is_too_little(error: BaseException) -> bool:
    """Whether memory ran out, in Python, on a CPU or on a GPU.

    torch's class is known by its name: a stage that computes without torch does not import it.
    """
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and any(text in str(error) for text in TOO_LITTLE))


def within_memory(run: Callable[[int], Result], batch: BatchSize) -> Result:
    """`run(images in one pass)`, tried again with half as many whenever memory runs out.

    run: the same work, to rounding, for every number, since it starts again. Raises its error where one image is too
    many, and any other error.
    """
    while True:
        try:
            return run(batch.images)
        except (MemoryError, RuntimeError) as error:
            if batch.images == 1 or not is_too_little(error):
                raise
        batch.images //= 2  # outside of `except`: the error no longer holds the tensors of the failed pass


def halving(run: Callable[[int], Result], most: int) -> Result:
    """`run(images in one pass)` as by `within_memory`, from `most` or from what this process has found to fit.

    A stage wraps its passes outside of training in this. That a number did not fit is said once, on stderr.
    """
    batch = BatchSize(min(most, _fitting.images))
    first = batch.images
    result = within_memory(run, batch)
    if batch.images < first:
        _fitting.images = batch.images
        print(f"memory ran out with {first} images in one pass: from here on {batch.images}", file=sys.stderr)
    return result
