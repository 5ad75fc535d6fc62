"""Shared by the tests of attacks within bands and of controls: bands, images with extreme pixels, a network."""

import numpy as np
import scipy.fft
import torch
from attack_cases import CONFINED, settings_of

from spectroscope.frequency.passbands import band_mask

SHAPE = (3, 12, 14)
L2 = {**CONFINED, "norm": "l2", "eps": 1.0, "step_size": 0.3, "steps": 8, "direction": "l2"}
LINF = {**CONFINED, "norm": "linf", "eps_255": 16, "step_255": 4, "steps": 8, "direction": "l2"}
NORMS = {"l2": L2, "linf": LINF}


def band(low, high, basis="dct", shape="linf", keep="inside", unit="shells"):
    return {"keep": keep, "basis": basis, "shape": shape, "unit": unit, "low": low, "high": high, "clip": False}


BANDS = {
    "dc": band(0, 1),
    "low": band(0, 4),
    "middle": band(4, 8),
    "high": band(8, 14),
    "ring": band(2, 5, "dft", "radial"),
    "stop": band(0.2, 0.6, "dct", "diagonal", "outside", "fraction"),
    "lowest": {"keep": "lowest", "ratio": 0.4},
    "all": {"keep": "all", "clip": False},
}


def in_band(name, entry=L2, **changes):
    """Settings of the confined attack within one of `BANDS`."""
    return settings_of(entry, bands={name: BANDS[name]}, **changes)


def model(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    weights = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    return torch.stack([((x - 0.5) * weight).flatten(1).sum(1) for weight in weights], 1) / 5


def images():
    """Images with black and white regions, and grey ones; labels as `model` predicts."""
    x = torch.rand(10, *SHAPE, generator=torch.Generator().manual_seed(0))
    x[0, :, :3], x[1, :, :, 5:7], x[2] = 0, 1, x[2].round()
    x[5:] = 0.25 + x[5:] / 2
    return x, model(x).argmax(1)


def mask_of(name):
    if name == "lowest":
        u, v = np.indices(SHAPE[1:])
        return torch.from_numpy((u < 5) & (v < 6))
    return band_mask(in_band(name).bands[name], *SHAPE[1:])


def energy_outside(change, name):
    """Share of each perturbation's energy outside the band, by another library."""
    mask, pixels = mask_of(name).numpy(), change.double().numpy()
    if BANDS[name].get("basis") == "dft":
        power = np.abs(scipy.fft.fft2(pixels, norm="ortho")) ** 2
    else:
        power = scipy.fft.dctn(pixels, axes=(-2, -1), norm="ortho") ** 2
    return (power * ~mask).sum((1, 2, 3)) / np.maximum(power.sum((1, 2, 3)), 1e-30)
