"""Measures of reliance beside bare passes and the loops one would write: `python -m benchmarks.attribution`.

Each pair is timed in turns in one process, so that a noisy machine strikes both alike; printed is the median ratio.
"""

import statistics
import time
from collections.abc import Callable

import torch

from spectroscope import models, runtime
from spectroscope.attribution.heatmap import fourier_heat_map
from spectroscope.attribution.occlusion import coalition_logits, every_coalition, occluded_frequency
from spectroscope.partitions import partition
from spectroscope.perturbation.rct import rct_map
from spectroscope.spectrum import PassBand, band_filter, shells

REPEATS = 5
SIZE, CLASSES = (3, 32, 32), 10


def ratio(peer: Callable[[], object], ours: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float, float]:
    """Median seconds of both and median of peer / ours, after one call of each."""
    peer(), ours()
    times = []
    for _ in range(repeats):
        pair = []
        for work in (peer, ours):
            started = time.perf_counter()
            work()
            pair.append(time.perf_counter() - started)
        times.append(pair)
    return (
        statistics.median(first for first, _ in times),
        statistics.median(second for _, second in times),
        statistics.median(first / second for first, second in times),
    )


@torch.no_grad()
def forwards(model: Callable, images: torch.Tensor, passes: int, chunk: int) -> None:
    for part in images.split(chunk):
        for _ in range(passes):
            model(part)


@torch.no_grad()
def wave_by_wave(model: Callable, images: torch.Tensor, labels: torch.Tensor, eps: float) -> torch.Tensor:
    """A heat map as its definition reads: every wave made by an inverse FFT, all images passed, errors counted."""
    _, height, width = SIZE
    found = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            spectrum = torch.zeros(height, width, dtype=torch.complex64)
            spectrum[i, j] = spectrum[-i % height, -j % width] = 1
            wave = torch.fft.ifft2(spectrum).real
            signs = torch.randint(0, 2, (len(images), SIZE[0], 1, 1)) * 2 - 1
            moved = (images + eps * signs * wave / wave.norm()).clamp(0, 1)
            found[i, j] = (model(moved).argmax(1) != labels).float().mean()
    return found


def rct_by_image(clean: torch.Tensor, adversarial: torch.Tensor) -> None:
    from scipy.fft import dctn

    total = 0.0
    for one, other in zip(clean.numpy(), adversarial.numpy(), strict=True):
        for channel, changed in zip(one, other, strict=True):
            before = dctn(channel, norm="ortho")
            total = total + abs((dctn(changed, norm="ortho") - before) / before)


def main() -> None:
    runtime.seed(0)
    chunk = runtime.images_at_once()
    model = models.freeze(models.build("resnet8", SIZE, CLASSES))
    images, labels = torch.rand(64, *SIZE), torch.randint(0, CLASSES, (64,))
    many = torch.rand(2000, *SIZE)
    noisy = many + 0.01 * torch.randn_like(many)
    index, eight = shells(32, 32), partition(32, 32, "linf", 8, "dct")
    options = {"basis": "dct", "baseline": None, "clip": False, "chunk": chunk}
    wave = {"eps": 4.0, "norm": "l2", "value": "error", "clip": True, "chunk": chunk}
    some = {"keep": "inside", "shape": "linf", "unit": "shells", "low": 0, "high": 8, "clip": False}
    low = PassBand(basis="dct", **some)
    few, of_few = images[:16], labels[:16]
    pairs = {
        "occluded frequency, 32 shells, against 33 bare passes": (
            lambda: forwards(model, images, 33, chunk),
            lambda: occluded_frequency(model, images, labels, index, chunk=chunk),
        ),
        "every coalition of 8 bands, against 256 bare passes": (
            lambda: forwards(model, images, 256, chunk),
            lambda: coalition_logits(model, images, eight, every_coalition(8), **options),
        ),
        "Fourier heat map, 16 images, against wave by wave": (
            lambda: wave_by_wave(model, few, of_few, 4.0),
            lambda: fourier_heat_map(model, few, of_few, generator=runtime.generator(0), **wave),
        ),
        "band filter, 2000 images, against an FFT and its inverse": (
            lambda: torch.fft.irfft2(torch.fft.rfft2(many), s=(32, 32)),
            lambda: band_filter(many, low),
        ),
        "RCT, 2000 images, against image by image": (
            lambda: rct_by_image(many, noisy),
            lambda: rct_map(many, noisy, "mean_of_ratios"),
        ),
    }
    for name, (peer, ours) in pairs.items():
        theirs, mine, times = ratio(peer, ours)
        print(f"{name}: {theirs:.3f} s and {mine:.3f} s, ratio {times:.2f} ({REPEATS} repeats)")
    print(runtime.describe())


if __name__ == "__main__":
    main()
