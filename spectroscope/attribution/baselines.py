"""What stands in for coefficients that are taken away: an image, so that every measure can use it."""

import torch
from torch import Tensor

from spectroscope.attribution.settings import Baseline
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import Basis, analyse, synthesise


def baseline(kind: Baseline, images: Tensor, index: Tensor, basis: Basis, generator: torch.Generator) -> Tensor | None:
    """The baseline of each image: None for zeros, (C, H, W) for the mean, else (N, C, H, W).

    zero: the paper's. mean: the mean of `images`. noise: Gaussian coefficients, scaled in each band and channel to the
    image's own energy there (the paper's "random signal"). other: another of the images, drawn without fixed points.
    Both draw from `generator`; ValueError for `other` with fewer than two images, or an unknown kind.
    """
    if kind == "zero":
        return None
    if kind == "mean":
        return images.mean(0)
    if kind == "noise":
        noise = torch.randn(images.shape, generator=generator).to(images)
        spectrum, own = analyse(noise, basis), analyse(images, basis)
        energies = [by_band(each.abs().square(), index) for each in (own, spectrum)]  # (N, C, B) twice
        scale = (energies[0] / energies[1]).sqrt()[..., index.to(images.device)]  # (N, C, H, W)
        return synthesise(spectrum * scale, basis)
    if kind == "other":
        if len(images) < 2:
            raise ValueError(f"expected at least two images for the baseline other, got {len(images)}")
        order = torch.randperm(len(images), generator=generator)
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)  # along one cycle: no image is its own partner
        return images[partner.to(images.device)]
    raise ValueError(f"expected baseline zero, mean, noise or other, got {kind!r}")
