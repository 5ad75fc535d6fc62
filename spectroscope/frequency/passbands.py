"""Pass bands: which coefficients of a spectrum are kept, and images restricted to them."""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spectroscope.frequency.spectrum import Basis, Shape, dct2, dft2, floating, idct2, idft2, shells
from spectroscope.pipeline.params import Settings


class FullBand(Settings):
    """Every coefficient: the image itself."""

    keep: Literal["all"]
    clip: bool


class PassBand(Settings):
    """The shells low <= shell < high, kept (`inside`) or removed (`outside`, a band-stop).

    `unit: shells` counts shells; `unit: fraction` is a fraction of the number of shells, rounded to whole shells.
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
    """Coefficients the band keeps: (H, W) booleans; ValueError when it keeps none or is narrower than a shell."""
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


def check_bands(bands: dict[str, FullBand | PassBand], height: int, width: int) -> None:
    """ValueError when a band keeps nothing or two bands would give the same images."""
    seen: dict[tuple, str] = {}
    for name, band in bands.items():
        try:
            mask = band_mask(band, height, width)
        except ValueError as error:
            raise ValueError(f"bands.{name}: {error}") from None
        beside_dc = mask.flatten()[1:]
        basis = "any" if beside_dc.all() or not beside_dc.any() else band.basis  # DC is the mean in either basis
        same = seen.setdefault((basis, band.clip, mask.numpy().tobytes()), name)
        if same != name:
            raise ValueError(f"bands.{name}: expected a band of its own, got the same coefficients as bands.{same}")


def band_filter(x: Tensor, band: FullBand | PassBand) -> Tensor:
    """Images restricted to a band: (..., H, W) -> (..., H, W); clipped to [0, 1] only where the band says so.

    A band without DC keeps its negative values. The bands of a partition sum to the image (unless clipped).
    """
    x = floating(x)
    height, width = x.shape[-2:]
    mask = band_mask(band, height, width).to(x.device)
    if mask.all():
        filtered = x.clone()
    elif band.basis == "dct":
        filtered = idct2(dct2(x) * mask)
    else:
        filtered = idft2(dft2(x) * mask[:, : width // 2 + 1], width)
    return filtered.clamp(0, 1) if band.clip else filtered
