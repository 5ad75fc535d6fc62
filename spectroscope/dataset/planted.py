"""Images whose label is written into chosen frequencies: the truth that measures of reliance are held to.

An image is Gaussian noise with a natural spectrum: DCT coefficients of standard deviation 1 / r^exponent, r their
distance from DC. A cue is a range of l-inf shells in which the energy leans to one direction: for the second class to
coefficients with more vertical than horizontal frequency, for the first the other way round. Leaning leaves the energy
of the shells as it is (but for `gain`), and no other shell says anything of the label.
"""

import hashlib
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.dataset.splits import Count, Dataset, Seed, draw
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings

CLASSES = ("across", "down")


class Cue(Settings):
    """Shells low <= max(u, v) < high that carry a sign of the label.

    contrast: how far the energy leans, 1 wholly. gain: of the amplitude in these shells, 1 natural. agreement: share of
    images in which the cue shows the label; in the others it shows the other class.
    """

    low: Annotated[int, Field(ge=1)]
    high: Annotated[int, Field(ge=2)]
    contrast: Annotated[float, Field(gt=0, le=1)]
    gain: Annotated[float, Field(gt=0)]
    agreement: Annotated[float, Field(ge=0.5, le=1)]


class PerClass(Settings):
    """The number of images of each class in each split."""

    train: Count
    test: Count


class PlantedSettings(Settings):
    """rule `each`: every cue shows the label; `all`: the label is `down` where all cues show it (a conjunction)."""

    name: Literal["planted"]
    size: Annotated[int, Field(ge=4)]
    exponent: Annotated[float, Field(ge=0)]
    std: Annotated[float, Field(gt=0, le=0.5)]
    rule: Literal["each", "all"]
    cues: Annotated[list[Cue], Field(min_length=1)]
    per_class: PerClass
    seed: Seed

    @model_validator(mode="after")
    def _fits(self) -> "PlantedSettings":
        taken: set[int] = set()
        for cue in self.cues:
            shells = set(range(cue.low, cue.high))
            if not shells or cue.high > self.size or shells & taken:
                raise ValueError(
                    f"expected cues of shells of their own below {self.size}, low < high, got {cue.low} to {cue.high}"
                )
            taken |= shells
        return self


def load(settings: PlantedSettings) -> Dataset:
    """Both splits: (N, 1, size, size) uint8, values beyond [0, 255] clipped; the digest is that of the settings."""
    parts = []
    for key, count in enumerate((settings.per_class.train, settings.per_class.test), start=1):
        labels = torch.arange(2).repeat_interleave(count)
        pixels = planted(labels, settings, generator(settings.seed, key))
        pixels = (pixels * 255).round().clamp(0, 255).to(torch.uint8)
        order = draw(labels, CLASSES, None, generator(settings.seed, key, 1), "planted")
        parts.append(Images(pixels[order], labels[order], CLASSES))
    return Dataset(*parts, hashlib.sha256(settings.model_dump_json().encode()).hexdigest())


def planted(labels: Tensor, settings: PlantedSettings, generator: torch.Generator) -> Tensor:
    """Images of these labels (N,), around 0.5 and not clipped: (N, 1, size, size) float64."""
    u = torch.arange(settings.size, dtype=torch.float64)
    distance, shell = torch.hypot(u[:, None], u), torch.maximum(u[:, None], u)
    amplitude = distance.clamp(min=1).pow(-settings.exponent)
    amplitude[0, 0] = 0  # every image has the same mean
    amplitude *= settings.std * settings.size / amplitude.square().sum().sqrt()
    lean = torch.sign(u[:, None] - u)  # rows down: vertical frequency
    amplitude = amplitude.repeat(len(labels), 1, 1)
    for cue, shown in zip(settings.cues, _shown(labels, settings, generator).unbind(1), strict=True):
        direction = (2.0 * shown - 1)[:, None, None] * lean
        leaning = (1 + cue.contrast * direction) / (1 + cue.contrast**2 * lean.square()).sqrt()
        inside = (shell >= cue.low) & (shell < cue.high)
        amplitude = torch.where(inside, cue.gain * leaning * amplitude, amplitude)
    spectrum = amplitude * torch.randn(amplitude.shape, generator=generator, dtype=torch.float64)
    return 0.5 + _image(spectrum)[:, None]


def _shown(labels: Tensor, settings: PlantedSettings, generator: torch.Generator) -> Tensor:
    """The class that each cue shows: (N, cues) of 0 and 1."""
    cues = len(settings.cues)
    shown = labels[:, None].repeat(1, cues)
    if settings.rule == "all":  # any pattern but all ones, equally often, for the first class
        pattern = torch.randint(0, 2**cues - 1, (len(labels),), generator=generator)
        other = (pattern[:, None] >> torch.arange(cues)) & 1
        shown = torch.where(labels[:, None] == 1, 1, other)
    agreement = torch.tensor([cue.agreement for cue in settings.cues], dtype=torch.float64)
    agrees = torch.rand(shown.shape, generator=generator, dtype=torch.float64) < agreement
    return torch.where(agrees, shown, 1 - shown)


def _image(spectrum: Tensor) -> Tensor:
    """The inverse DCT-II; by scipy, since data sets know nothing of this package's transforms."""
    from scipy.fft import idctn

    return torch.from_numpy(idctn(spectrum.numpy(), axes=(-2, -1), norm="ortho"))
