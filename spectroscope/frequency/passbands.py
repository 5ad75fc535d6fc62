"""Pass bands: the coefficients of a spectrum that a filter keeps, and images filtered by one."""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.frequency.spectrum import Basis, Shape, dct2, dft2, idct2, idft2, shells, to_float
from spectroscope.pipeline.params import Settings


class FullBand(Settings):
    """Every coefficient: the whole image. `clip` as in `PassBand`."""

    keep: Literal["all"]
    clip: bool


class PassBand(Settings):
    """The shells low <= shell < high, which the filter keeps (`keep: inside`) or removes (`keep: outside`).

    `unit`: low and high count `shells`, or are a `fraction` of the number of shells, rounded to whole shells. `clip`:
    whether filtered pixels are clipped to [0, 1].
    """

    keep: Literal["inside", "outside"]
    basis: Basis
    shape: Shape
    unit: Literal["shells", "fraction"]
    low: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(gt=0)]
    clip: bool

    @model_validator(mode="after")
    def _edges(self) -> "PassBand":
        if self.low >= self.high:
            raise ValueError(f"expected low < high, got low {self.low:g} and high {self.high:g}")
        if self.unit == "fraction" and self.high > 1:
            raise ValueError(f"expected a fraction high <= 1, got {self.high:g}")
        if self.unit == "shells" and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"expected whole shells, got low {self.low:g} and high {self.high:g}")
        return self


Band = Annotated[FullBand | PassBand, Field(discriminator="keep")]


def band_mask(band: FullBand | PassBand, height: int, width: int) -> Tensor:
    """Coefficients that the band keeps, laid out as in `spectrum.shells`: (H, W) booleans.

    ValueError when the band reaches beyond the last shell, is narrower than one shell, or keeps no coefficient.
    """
    if isinstance(band, FullBand):
        return torch.ones(height, width, dtype=torch.bool)
    index = shells(height, width, band.shape, band.basis)
    count = int(index.max()) + 1
    scale = count if band.unit == "fraction" else 1
    low, high = round(band.low * scale), round(band.high * scale)
    if high > count:
        raise ValueError(f"expected high <= {count} shells ({height} x {width}, {band.shape}), got {high}")
    if low >= high:
        raise ValueError(f"expected a band at least one shell wide, got shells {low} to {high} of {count} ({band})")
    inside = (index >= low) & (index < high)
    mask = inside if band.keep == "inside" else ~inside
    if not mask.any():
        raise ValueError(f"expected a band that keeps a coefficient, got none ({band} on {height} x {width})")
    return mask


def band_filter(x: Tensor, band: FullBand | PassBand) -> Tensor:
    """Images filtered by the band: (..., H, W) -> (..., H, W), a new tensor.

    Without DC a filtered image has negative pixels; only `clip` removes them. Unclipped, the bands of a partition sum
    to the image. Types as in `spectrum.dct2`; ValueError as in `band_mask`.

    >>> import torch
    >>> from spectroscope.frequency.passbands import PassBand
    >>> image = torch.linspace(0, 1, 256).view(16, 16)
    >>> low = PassBand(keep="inside", basis="dct", shape="linf", unit="fraction", low=0, high=0.25, clip=False)
    >>> high = low.model_copy(update={"keep": "outside"})
    >>> torch.allclose(band_filter(image, low) + band_filter(image, high), image, atol=1e-6)
    True
    """
    x = to_float(x)
    height, width = x.shape[-2:]
    mask = band_mask(band, height, width).to(x.device)
    if isinstance(band, FullBand) or mask.all():
        filtered = x.clone()  # not transformed: a band of every shell gives the same bits as the full band
    elif band.basis == "dct":
        filtered = idct2(dct2(x) * mask)
    else:
        filtered = idft2(dft2(x) * mask[:, : width // 2 + 1], width)
    return filtered.clamp(0, 1) if band.clip else filtered
