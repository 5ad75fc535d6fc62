"""Synthetic images whose label is written into chosen frequencies: ground truth for methods of attribution.

An image is Gaussian noise with a natural spectrum: DCT coefficients of standard deviation 1 / r^exponent at distance r
from DC. A cue is a range of l-inf shells in which energy moves to one direction: for the second class to coefficients
with more vertical than horizontal frequency, for the first class the other way round. The energy of a shell stays as
it is (but for `gain`), and shells without a cue carry no information on the label.
"""

import hashlib
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.dataset.splits import SPLITS, Dataset, PerClass, class_balanced_order
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings

CLASSES = ("across", "down")
MOST_PIXELS = 2**30  # of a split; they are made at once, in float64


class Cue(Settings):
    """Shells low <= max(u, v) < high that show the label.

    contrast: how far energy moves, 1 for all of it. gain: factor on the amplitude in these shells, 1 for the natural
    one. agreement: share of images in which the cue shows the label; in the others it shows the other class.
    """

    low: Annotated[int, Field(ge=1)]
    high: Annotated[int, Field(ge=2)]
    contrast: Annotated[float, Field(gt=0, le=1)]
    gain: Annotated[float, Field(gt=0, le=1000)]
    agreement: Annotated[float, Field(ge=0.5, le=1)]


class PlantedSettings(Settings):
    """`size` in pixels; `std` of the pixels in [0, 1].

    `rule`: with `each`, every cue shows the label; with `all`, the label is `down` where all cues show it (a
    conjunction).
    """

    name: Literal["planted"]
    size: Annotated[int, Field(ge=4, le=1024)]
    exponent: Annotated[float, Field(ge=0, le=10)]
    std: Annotated[float, Field(gt=0, le=0.5)]
    rule: Literal["each", "all"]
    cues: Annotated[list[Cue], Field(min_length=1)]
    per_class: PerClass
    seed: Seed

    @model_validator(mode="after")
    def _fits(self) -> "PlantedSettings":
        end = 0
        for cue in sorted(self.cues, key=lambda cue: cue.low):
            if not end <= cue.low < cue.high <= self.size:
                raise ValueError(
                    f"expected cues with low < high <= {self.size} that share no shell, got {cue.low} to {cue.high}"
                )
            end = cue.high
        for split in SPLITS:
            n_pixels = len(CLASSES) * getattr(self.per_class, split) * self.size**2
            if n_pixels > MOST_PIXELS:
                raise ValueError(
                    f"expected at most {MOST_PIXELS // (len(CLASSES) * self.size**2)} {split} images of each class of "
                    f"{self.size} x {self.size} pixels, got {getattr(self.per_class, split)}"
                )
        return self


def load(settings: PlantedSettings) -> Dataset:
    """Both splits: (N, 1, size, size) uint8, values outside [0, 255] clipped; the digest is that of the settings."""
    train, test = (
        _images(count, key, settings)
        for key, count in enumerate((settings.per_class.train, settings.per_class.test), start=1)
    )
    return Dataset(train, test, hashlib.sha256(settings.model_dump_json().encode()).hexdigest())


def planted(labels: Tensor, settings: PlantedSettings, generator: torch.Generator) -> Tensor:
    """Images of these labels (N,), with mean 0.5 and not clipped: (N, 1, size, size) float64."""
    u = torch.arange(settings.size, dtype=torch.float64)
    distance, shell = torch.hypot(u[:, None], u), torch.maximum(u[:, None], u)
    amplitude = distance.clamp(min=1).pow(-settings.exponent)
    amplitude[0, 0] = 0  # every image has the same mean
    amplitude *= settings.std * settings.size / amplitude.square().sum().sqrt()
    direction = torch.sign(u[:, None] - u)  # 1 below the diagonal: more vertical frequency
    amplitude = amplitude.repeat(len(labels), 1, 1)
    for cue, shown in zip(settings.cues, _shown_classes(labels, settings, generator).unbind(1), strict=True):
        signed = (2.0 * shown - 1)[:, None, None] * direction  # (N, size, size)
        factor = (1 + cue.contrast * signed) / (1 + cue.contrast**2 * direction.square()).sqrt()  # keeps shell energy
        inside = (shell >= cue.low) & (shell < cue.high)
        amplitude = torch.where(inside, cue.gain * factor * amplitude, amplitude)
    spectrum = amplitude * torch.randn(amplitude.shape, generator=generator, dtype=torch.float64)
    return 0.5 + _inverse_dct(spectrum)[:, None]


def _images(count: int, key: int, settings: PlantedSettings) -> Images:
    """A split with `count` images of each class; `key` names its random streams."""
    labels = torch.arange(2).repeat_interleave(count)
    pixels = planted(labels, settings, generator(settings.seed, key))
    pixels = (pixels * 255).round().clamp(0, 255).to(torch.uint8)
    order = class_balanced_order(labels, CLASSES, None, generator(settings.seed, key, 1), "planted")
    return Images(pixels[order], labels[order], CLASSES)


def _shown_classes(labels: Tensor, settings: PlantedSettings, generator: torch.Generator) -> Tensor:
    """The class that each cue shows in each image: (N, cues) of 0 and 1."""
    cues = len(settings.cues)
    shown = labels[:, None].repeat(1, cues)
    if settings.rule == "all":  # the first class shows any pattern but all ones, each equally often
        pattern = torch.randint(0, 2**cues - 1, (len(labels),), generator=generator)
        bits = (pattern[:, None] >> torch.arange(cues)) & 1
        shown = torch.where(labels[:, None] == 1, 1, bits)
    agreement = torch.tensor([cue.agreement for cue in settings.cues], dtype=torch.float64)
    agrees = torch.rand(shown.shape, generator=generator, dtype=torch.float64) < agreement
    return torch.where(agrees, shown, 1 - shown)


def _inverse_dct(spectrum: Tensor) -> Tensor:
    """Orthonormal inverse DCT-II, by scipy: were it `frequency.spectrum`, every edit there would load the data anew."""
    from scipy.fft import idctn

    return torch.from_numpy(idctn(spectrum.numpy(), axes=(-2, -1), norm="ortho"))
