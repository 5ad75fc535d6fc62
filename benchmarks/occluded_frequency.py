"""Occluded Frequency beside the bare forward passes it needs, in one run: `python -m benchmarks.occluded_frequency`.

Prints images x bands per second of both and their ratio (median over repeats, taken in turns so that a noisy machine
strikes both alike).
"""

import statistics
import time

import torch

from spectroscope import models, runtime
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.spectrum import shells

IMAGES, REPEATS = 256, 7


def seconds(work, *arguments, **options) -> float:
    started = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - started


@torch.no_grad()
def forwards(model, images, passes: int, chunk: int) -> None:
    for part in images.split(chunk):
        for _ in range(passes):
            model(part)


def main() -> None:
    runtime.seed(0)
    chunk, index = runtime.images_at_once(), shells(32, 32)
    images, labels = torch.rand(IMAGES, 3, 32, 32), torch.randint(0, 10, (IMAGES,))
    passes = int(index.max()) + 2  # every band, and the whole image
    for name in ("resnet8", "resnet18"):
        model = models.freeze(models.build(name, (3, 32, 32), 10))
        bare, ours = [], []
        forwards(model, images, 1, chunk)
        for _ in range(REPEATS if name == "resnet8" else 1):
            bare.append(seconds(forwards, model, images, passes, chunk))
            ours.append(seconds(occluded_frequency, model, images, labels, index, chunk=chunk))
        each = [IMAGES * passes / statistics.median(times) for times in (bare, ours)]
        ratio = statistics.median(first / second for first, second in zip(bare, ours, strict=True))
        print(f"{name}: {each[0]:.0f} bare and {each[1]:.0f} occluded passes per second, ratio {ratio:.2f}", end="; ")
        print(f"n = {IMAGES} images, {len(bare)} repeats, {runtime.describe()}")


if __name__ == "__main__":
    main()
