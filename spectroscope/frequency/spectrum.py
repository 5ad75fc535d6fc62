"""Spectra of images: the two-dimensional DCT and DFT, and the shells of their frequencies.

Images are real (..., H, W), each transformed alone. Both transforms are orthonormal: the squared coefficients of an
image sum to its squared pixels (Parseval). The frequency (u, v) of a coefficient counts half cycles over the image's
height and width in the DCT, whole cycles in the DFT; DC is (0, 0). A shell holds the coefficients at one distance from
DC, a whole number.
"""

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Basis = Literal["dct", "dft"]
Shape = Literal["linf", "radial", "diagonal"]


def dct2(x: Tensor) -> Tensor:
    """DCT-II of each image: (..., H, W) -> (..., H, W), DC at [..., 0, 0].

    The same as scipy.fft.dctn(x, norm="ortho", axes=(-2, -1)). float32 and float64 keep their type, half precision
    becomes float32; ValueError for any other type and for fewer than two axes.

    >>> import torch
    >>> white = torch.ones(8, 3, 16, 16)  # eight white RGB images
    >>> dct2(white).shape
    torch.Size([8, 3, 16, 16])
    >>> round(dct2(white)[0, 0, 0, 0].item(), 3)  # DC: the mean pixel times sqrt(H W)
    16.0
    """
    x = to_float(x)
    height, width = x.shape[-2:]
    return _dct(height, x.dtype, x.device) @ x @ _dct(width, x.dtype, x.device).mT  # (H, H) @ (..., H, W) @ (W, W)


def idct2(s: Tensor) -> Tensor:
    """Image of each DCT spectrum: (..., H, W) -> (..., H, W), the inverse and transpose of `dct2`. Types as there.

    >>> import torch
    >>> image = torch.linspace(0, 1, 48).view(6, 8)
    >>> torch.allclose(idct2(dct2(image)), image, atol=1e-6)
    True
    """
    s = to_float(s)
    height, width = s.shape[-2:]
    return _dct(height, s.dtype, s.device).mT @ s @ _dct(width, s.dtype, s.device)


def dft2(x: Tensor) -> Tensor:
    """Left half of the unitary DFT of each image: (..., H, W) -> (..., H, W // 2 + 1) complex, DC at [..., 0, 0].

    The other columns follow from these, as images are real: coefficient (-u, -v) is the conjugate of (u, v).
    """
    return torch.fft.rfft2(to_float(x), norm="ortho")


def idft2(s: Tensor, width: int) -> Tensor:
    """Image of each half spectrum of `dft2`: (..., H, width // 2 + 1) -> (..., H, width)."""
    return torch.fft.irfft2(s, s=(s.shape[-2], width), norm="ortho")  # without s an odd width loses a column


def analyse(x: Tensor, basis: Basis) -> Tensor:
    """All H x W coefficients of each image, laid out as in `shells`: real in the DCT, complex in the DFT."""
    return dct2(x) if basis == "dct" else torch.fft.fft2(to_float(x), norm="ortho")


def synthesise(spectrum: Tensor, basis: Basis) -> Tensor:
    """Image of each spectrum of `analyse`: (..., H, W) -> (..., H, W). A DFT spectrum must be that of a real image."""
    return idct2(spectrum) if basis == "dct" else torch.fft.ifft2(spectrum, norm="ortho").real


def shells(height: int, width: int, shape: Shape = "linf", basis: Basis = "dct") -> Tensor:
    """Shell of every coefficient, 0 = DC: (H, W) integers.

    linf: max(u, v), the L-shaped sets that Occluded Frequency removes one at a time (Wang et al. 2020, Fig. 4; the
    paper's k is the shell + 1). radial: the Euclidean norm of (u, v), rounded. diagonal: u + v. In the DFT u and v are
    distances from DC in either direction, so that a coefficient and its mirror are in one shell, and the layout is that
    of an unshifted FFT. ValueError for a size below 1, an unknown shape or an unknown basis.

    >>> shells(3, 4)
    tensor([[0, 1, 2, 3],
            [1, 1, 2, 3],
            [2, 2, 2, 3]])
    """
    if height < 1 or width < 1:
        raise ValueError(f"expected height and width >= 1, got {height} x {width}")
    u, v = _frequencies(height, basis)[:, None], _frequencies(width, basis)[None, :]
    if shape == "linf":
        return torch.maximum(u, v)
    if shape == "radial":
        return torch.hypot(u.double(), v.double()).round().long()
    if shape == "diagonal":
        return u + v
    raise ValueError(f"expected shape linf, radial or diagonal, got {shape!r}")


def mirrored(values: Tensor) -> Tensor:
    """The value of each DFT coefficient's mirror, (-u, -v), laid out as a full-size FFT: (..., H, W) -> (..., H, W)."""
    return values.flip(-2, -1).roll((1, 1), (-2, -1))


def to_float(x: Tensor) -> Tensor:
    """float32 and float64 unchanged, half precision as float32 (a CPU's FFT refuses it); ValueError for other types."""
    if x.ndim < 2:
        raise ValueError(f"expected images (..., H, W), got shape {tuple(x.shape)}")
    if x.dtype in (torch.float16, torch.bfloat16):
        return x.float()
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"expected floating-point images in [0, 1], got {x.dtype}")
    return x


def _frequencies(size: int, basis: Basis) -> Tensor:
    """Distance from DC of each coefficient along one axis: (size,) integers."""
    if basis == "dct":
        return torch.arange(size)
    if basis == "dft":
        return torch.minimum(torch.arange(size), size - torch.arange(size))
    raise ValueError(f"expected basis dct or dft, got {basis!r}")


@lru_cache(maxsize=32)
def _dct(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Orthonormal DCT-II matrix: [k, n] = sqrt(2 / size) cos(pi (2 n + 1) k / (2 size)), row 0 divided by sqrt(2)."""
    n = torch.arange(size)
    turns = (2 * n + 1) * n[:, None] % (4 * size)  # whole turns go in integers: the cosine of a large angle is inexact
    matrix = torch.cos(math.pi * turns.double() / (2 * size)) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.to(dtype=dtype, device=device)
