"""Too little memory: how it is told from other errors, and images in one pass, halved until they fit."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

# In a RuntimeError of torch: its allocator on a CPU (Linux, Windows), C++, the driver of a GPU, and NVIDIA's libraries.
TOO_LITTLE = re.compile(
    r"DefaultCPUAllocator|not enough memory|std::bad_alloc|(CUDA|CUDA driver|HIP) error: out of memory"
    r"|\bCU[A-Z]+_(\w+_)?ALLOC(ATION)?_FAILED\b"
)


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
    return known or (isinstance(error, RuntimeError) and TOO_LITTLE.search(str(error)) is not None)


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
        if "torch" in sys.modules:
            sys.modules["torch"].cuda.empty_cache()  # cuBLAS and cuDNN get none of what torch keeps for later tensors


def halving(run: Callable[[int], Result], most: int) -> Result:
    """`run(images in one pass)` as by `within_memory`, from `most` or from what this process has found to fit.

    A stage wraps its passes outside of training in this. That a number did not fit is said once, on stderr.
    """
    first = fitting(most)
    batch = BatchSize(first)

    def in_passes_of(images: int) -> Result:
        _fitting.images = images if images < first else _fitting.images
        return run(images)

    result = within_memory(in_passes_of, batch)
    if batch.images < first:
        print(f"memory ran out with {first} images in one pass: from here on {batch.images}", file=sys.stderr)
    return result


def fitting(most: int) -> int:
    """`most` images, or as many as this process has found to fit in one pass: for what passes copies of one image."""
    return min(most, _fitting.images)


@contextmanager
def at_once(key: str, images: int) -> Iterator[None]:
    """ValueError that names a setting where memory runs out within the block, whose passes are of so many images.

    For settings that change results, which are not halved.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_too_little(error):
            raise
        raise ValueError(
            f"{key}: expected a number of images that memory holds, got {images}: {reason(error)}"
        ) from error


def reason(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
