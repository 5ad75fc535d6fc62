"""Speed of attribution against bare forward passes and plain loops: `python -m benchmarks.attribution`.

Ours and the peer are timed in turns in one process, in CPU seconds of that process, which other work on the machine
does not change. Prints the least of the repeats of both, and their ratio. A peer that loops has the network as training
leaves it; ours has `inference.freeze` of it, as in the stages.
"""

import time
from collections.abc import Callable

import torch

from spectroscope.attribution.coalitions import coalition_logits, every_coalition
from spectroscope.attribution.heat_map import fourier_heat_map
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.passbands import PassBand, band_filter
from spectroscope.frequency.spectrum import shells
from spectroscope.models import architectures, inference
from spectroscope.perturbation.rct import rct_map
from spectroscope.pipeline import machine, passes

REPEATS = 3
SIZE, CLASSES = (3, 32, 32), 10


def least(peer: Callable[[], object], ours: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Least CPU seconds of both, after a first call of both that does not count."""
    peer(), ours()
    times: list[list[float]] = [[], []]
    for _ in range(repeats):
        for work, seconds in zip((peer, ours), times, strict=True):
            started = time.process_time()
            work()
            seconds.append(time.process_time() - started)
    return min(times[0]), min(times[1])


@torch.no_grad()
def forwards(model: Callable, images: torch.Tensor, passes: int, chunk: int) -> None:
    for batch in images.split(chunk):
        for _ in range(passes):
            model(batch)


@torch.no_grad()
def wave_by_wave(model: Callable, images: torch.Tensor, labels: torch.Tensor, eps: float, half: bool) -> torch.Tensor:
    """A heat map as it is defined: for each wave, add it image by image, then one forward pass of all images.

    half: only the columns up to W / 2; the others are their mirrors.
    """
    _, height, width = SIZE
    errors = torch.zeros(height, width)
    for i in range(height):
        for j in range(width // 2 + 1 if half else width):
            spectrum = torch.zeros(height, width, dtype=torch.complex64)
            spectrum[i, j] = spectrum[-i % height, -j % width] = 1
            wave = torch.fft.ifft2(spectrum).real
            wave = eps * wave / wave.norm()
            signs = torch.randint(0, 2, (len(images), SIZE[0], 1, 1)) * 2 - 1
            noisy = [(image + sign * wave).clamp(0, 1) for image, sign in zip(images, signs, strict=True)]
            errors[i, j] = (model(torch.stack(noisy)).argmax(1) != labels).float().mean()
    return errors


def rct_by_image(clean: torch.Tensor, adversarial: torch.Tensor) -> None:
    from scipy.fft import dctn

    total = 0.0
    for one, other in zip(clean.numpy(), adversarial.numpy(), strict=True):
        for channel, changed in zip(one, other, strict=True):
            before = dctn(channel, norm="ortho")
            total = total + abs((dctn(changed, norm="ortho") - before) / before)


def main() -> None:
    machine.seed(0)
    trained = architectures.build("resnet8", SIZE, CLASSES).eval()
    model = inference.freeze(trained)
    images, labels = torch.rand(64, *SIZE), torch.randint(0, CLASSES, (64,))
    chunk = passes.forward_batch_size(model, images)
    many = torch.rand(2000, *SIZE)
    noisy = many + 0.01 * torch.randn_like(many)
    index, eight = shells(32, 32), partition(32, 32, "linf", 8, "dct")
    options = {"basis": "dct", "baseline": None, "clip": False, "chunk": chunk}
    wave = {"eps": 4.0, "norm": "l2", "value": "error", "clip": True, "chunk": chunk}
    kept = {"keep": "inside", "shape": "linf", "unit": "shells", "low": 0, "high": 8, "clip": False}
    low = PassBand(basis="dct", **kept)
    few, few_labels = images[:16], labels[:16]
    pairs = {
        "occluded frequency, 32 shells, against 33 bare passes": (
            lambda: forwards(model, images, 33, chunk),
            lambda: occluded_frequency(model, images, labels, index, chunk=chunk),
        ),
        "every coalition of 8 bands, against 256 bare passes": (
            lambda: forwards(model, images, 256, chunk),
            lambda: coalition_logits(model, images, eight, every_coalition(8), **options),
        ),
        "Fourier heat map, 16 images, against wave by wave, all of the plane": (
            lambda: wave_by_wave(trained, few, few_labels, 4.0, half=False),
            lambda: fourier_heat_map(model, few, few_labels, generator=machine.generator(0), **wave),
        ),
        "Fourier heat map, 16 images, against wave by wave, half of the plane": (
            lambda: wave_by_wave(trained, few, few_labels, 4.0, half=True),
            lambda: fourier_heat_map(model, few, few_labels, generator=machine.generator(0), **wave),
        ),
        "band filter, 2000 images, against an FFT and its inverse": (
            lambda: torch.fft.irfft2(torch.fft.rfft2(many), s=(32, 32)),
            lambda: band_filter(many, low),
        ),
        "RCT, 2000 images, against image by image (scipy's dctn)": (
            lambda: rct_by_image(many, noisy),
            lambda: rct_map(many, noisy, "mean_of_ratios"),
        ),
    }
    for name, (peer, ours) in pairs.items():
        theirs, mine = least(peer, ours)
        print(f"{name}: {theirs:.3f} s and {mine:.3f} s, ratio {theirs / mine:.2f} (least of {REPEATS})")
    print(machine.describe())


if __name__ == "__main__":
    main()
