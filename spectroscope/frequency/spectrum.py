"""Spectra of images, their shells, and images restricted to a band of them.

Images are floats (..., H, W). The DCT is the orthonormal two-dimensional DCT-II: the inverse is its transpose and
energy is the same on both sides (Parseval). The DFT is the unitary one. Frequency indices are in cycles per image side
for the DFT and in half cycles for the DCT; a shell is a set of coefficients of the same integer index.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Basis = Literal["dct", "dft"]
Shape = Literal["linf", "radial", "diagonal"]


def dct2(x: Tensor) -> Tensor:
    """Spectrum of each image: (..., H, W) -> (..., H, W), lowest frequency at [..., 0, 0]; floats only."""
    x = floating(x)
    height, width = x.shape[-2:]
    return _basis(height, x.dtype, x.device) @ x @ _basis(width, x.dtype, x.device).mT  # (H, H) @ (..., H, W) @ (W, W)


def idct2(s: Tensor) -> Tensor:
    """Image of each spectrum: (..., H, W) -> (..., H, W), the inverse (and the transpose) of `dct2`."""
    s = floating(s)
    height, width = s.shape[-2:]
    return _basis(height, s.dtype, s.device).mT @ s @ _basis(width, s.dtype, s.device)


def dft2(x: Tensor) -> Tensor:
    """Unitary DFT, non-redundant half: (..., H, W) real -> (..., H, W // 2 + 1) complex, DC at [..., 0, 0]."""
    return torch.fft.rfft2(floating(x), norm="ortho")


def idft2(s: Tensor, width: int) -> Tensor:
    """Image of each half spectrum: (..., H, width // 2 + 1) -> (..., H, width)."""
    return torch.fft.irfft2(s, s=(s.shape[-2], width), norm="ortho")


def analyse(x: Tensor, basis: Basis) -> Tensor:
    """All H x W coefficients of each image in the layout of `shells`: real for the DCT, complex for the DFT."""
    return dct2(x) if basis == "dct" else torch.fft.fft2(floating(x), norm="ortho")


def synthesise(spectrum: Tensor, basis: Basis) -> Tensor:
    """Image of each spectrum of `analyse`; a spectrum of the DFT must be mirror-symmetric."""
    return idct2(spectrum) if basis == "dct" else torch.fft.ifft2(spectrum, norm="ortho").real


def shells(height: int, width: int, shape: Shape = "linf", basis: Basis = "dct") -> Tensor:
    """Shell of every coefficient, 0 = DC: (H, W) integers.

    linf: max(u, v), the L-shaped set that Occluded Frequency ablates at once (Wang et al. 2020, Fig. 4; their k is ours
    + 1). radial: the Euclidean norm of (u, v), rounded. diagonal: u + v. In the DFT u and v are distances from DC, so
    that a coefficient and its mirror are in one shell; the layout is that of an unshifted full-size FFT.
    """
    if height < 1 or width < 1:
        raise ValueError(f"expected height and width >= 1, got {height} x {width}")
    u, v = _indices(height, basis)[:, None], _indices(width, basis)[None, :]
    if shape == "linf":
        return torch.maximum(u, v)
    if shape == "radial":
        return torch.hypot(u.double(), v.double()).round().long()
    if shape == "diagonal":
        return u + v
    raise ValueError(f"expected shape linf, radial or diagonal, got {shape!r}")


def floating(x: Tensor) -> Tensor:
    """float32 and float64 as they are, half precision upcast to float32 (the CPU's FFT refuses it); else an error."""
    if x.ndim < 2:
        raise ValueError(f"expected images (..., H, W), got shape {tuple(x.shape)}")
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected floating-point images in [0, 1], got {x.dtype}")
    return x


def _indices(size: int, basis: Basis) -> Tensor:
    if basis == "dct":
        return torch.arange(size)
    if basis == "dft":
        return torch.minimum(torch.arange(size), size - torch.arange(size))
    raise ValueError(f"expected basis dct or dft, got {basis!r}")


@lru_cache(maxsize=32)
def _basis(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal DCT-II: (k, n) = sqrt(2 / size) cos(pi (2n + 1) k / 2 size), row 0 divided by sqrt(2)."""
    n = torch.arange(size)
    turns = (2 * n + 1) * n[:, None] % (4 * size)  # in integers: rounding a large angle would cost several digits
    basis = torch.cos(math.pi * turns.double() / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype=dtype, device=device)
