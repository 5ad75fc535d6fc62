"""Controls: what is not an attack, at exactly the size of one; it knows nothing of the network and asks it nothing."""

from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_frequency import NoiseL2, NoiseLinf
from spectroscope.frequency.balls import norms
from spectroscope.frequency.exact_norm import clipped_to
from spectroscope.frequency.spectrum import dft2, idft2

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]  # (C, H, W), a generator -> (C, H, W)


def noise(
    settings: NoiseLinf | NoiseL2, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """x plus noise whose norm after the clip to [0, 1] is eps for each image: (N, C, H, W).

    ValueError where an image is so near black or white along its noise that the clip leaves no room for eps.
    """
    (kind,) = settings.kinds
    if kind == "other_image":
        directions = predict.others - x
    else:
        directions = torch.stack([KINDS[kind](x.shape[1:], generator) for generator in generators]).to(x)
    norm, eps = settings.ball
    change = clipped_to(x, directions, norm, torch.full_like(x[:, 0, 0, 0], eps))
    left = float(norms(change, norm).min())
    if left < (1 - 1e-4) * eps:
        raise ValueError(
            f"{kind}: expected an eps that the clip to [0, 1] leaves room for, {left:g} at most; got {eps:g}"
        )
    return x + change


def gaussian(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent normal pixels: a flat spectrum."""
    return torch.randn(shape, generator=generator)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent pixels, uniform around 0."""
    return 2 * torch.rand(shape, generator=generator) - 1


def sign(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent pixels of one size and either sign: what FGSM's sign leaves of a gradient without information."""
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1


def pink(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Normal noise whose mean power falls as 1 / f, f in cycles per pixel; no constant part."""
    height, width = shape[-2:]
    f = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    amplitude = torch.where(f > 0, f, torch.inf).rsqrt()
    return idft2(dft2(gaussian(shape, generator)) * amplitude, width)


KINDS: dict[str, Draw] = {"gaussian": gaussian, "uniform": uniform, "sign": sign, "pink": pink}
