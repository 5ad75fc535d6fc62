"""Baselines: the images whose coefficients replace the removed ones."""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import Basis, analyse, synthesise

Baseline = Literal["zero", "mean", "noise", "other"]


def baseline(kind: Baseline, images: Tensor, index: Tensor, basis: Basis, generator: torch.Generator) -> Tensor | None:
    """Baseline of each image: None for zeros, (C, H, W) for the mean, else (N, C, H, W).

    zero: the paper's (Wang et al. 2020). mean: the mean of `images`. noise: Gaussian coefficients, scaled in each band
    and channel to the image's own energy there (the paper's "random signal"). other: another of the images, drawn
    without fixed points. noise and other draw from `generator`. ValueError for `other` with fewer than two images, or
    an unknown kind.
    """
    if kind == "zero":
        return None
    if kind == "mean":
        return images.mean(0)
    if kind == "noise":
        noise = torch.randn(images.shape, generator=generator).to(images)
        spectrum = analyse(noise, basis)
        wanted, drawn = (by_band(s.abs().square(), index) for s in (analyse(images, basis), spectrum))  # (N, C, B)
        scale = (wanted / drawn).sqrt()[..., index.to(images.device)]  # (N, C, H, W)
        return synthesise(spectrum * scale, basis)
    if kind == "other":
        if len(images) < 2:
            raise ValueError(f"expected at least two images for the baseline other, got {len(images)}")
        order = torch.randperm(len(images), generator=generator)
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)  # one cycle through all images: none is its own partner
        return images[partner.to(images.device)]
    raise ValueError(f"expected baseline zero, mean, noise or other, got {kind!r}")


def baseline_rows(baseline: Tensor | None, rows: slice) -> Tensor | None:
    """The baseline of some of the images: its rows where every image has its own."""
    return baseline[rows] if baseline is not None and baseline.ndim == 4 else baseline


def minus_baseline(images: Tensor, baseline: Tensor | None) -> Tensor:
    """Images minus their baseline: what is lost when all coefficients are replaced, (N, C, H, W)."""
    return images if baseline is None else images - baseline.to(images)
