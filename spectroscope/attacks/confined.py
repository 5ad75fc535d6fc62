"""PGD whose perturbation lies in chosen frequencies, and the single Fourier direction.

A clip to [0, 1], a step along the sign and the l-inf ball all spill energy over the whole spectrum. Every iterate of
`confined` has at most `LEAK` of its energy outside its band, after the clip: another one is never taken.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_frequency import ConfinedL2, ConfinedLinf, FourierL2, FourierLinf, Lowest
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import Band, band_mask
from spectroscope.frequency.spectrum import Basis, dct2, dft2, idct2, idft2

LEAK = 1e-4  # energy outside the band over all energy: 1 % of the norm
CYCLES = 200  # of alternating projection before a step is given up

Projection = Callable[[Tensor], Tensor]


def confined(
    settings: ConfinedLinf | ConfinedL2,
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    """Projected gradient steps inside one band: (N, C, H, W) (Madry et al. 2018, section 2.1, in a subspace).

    The gradient is projected onto the band, the step onto band, ball and box together. An image that is fooled, or
    whose next step has no place in all three, stays where it is. Notes what leaks out of the band.
    """
    ((name, band),) = settings.bands.items()
    try:
        project = projection(band, *x.shape[-2:])
    except ValueError as error:
        raise ValueError(f"bands.{name}: {error}") from None
    change = torch.zeros_like(x)
    if settings.random_start:
        points = [balls.random_point(x.shape[1:], *settings.ball, generator) for generator in generators]
        change, _ = confine(torch.stack(points).to(x), x, settings.ball, project)
    rows = torch.arange(len(x), device=x.device)
    for _ in range(settings.steps):
        z = (x[rows] + change[rows]).requires_grad_()
        logits = predict(z, rows)
        (gradient,) = torch.autograd.grad(predict.odds(logits, rows).sum(), z)
        resisting = ~predict.fooled(logits, rows)
        rows, gradient = rows[resisting], gradient[resisting]
        if not len(rows):
            break
        step = balls.step(-project(gradient), settings.direction, settings.norm, settings.step_size)
        moved, placed = confine(change[rows] + step, x[rows], settings.ball, project)
        rows = rows[placed]
        change[rows] = moved[placed]
    reached = x + change
    predict.leak = leak(reached - x, project)
    return reached


def confine(change: Tensor, x: Tensor, ball: Ball, project: Projection) -> tuple[Tensor, Tensor]:
    """Perturbations moved into band, ball and [0, 1] - x at once: (N, C, H, W) twice -> the same, and (N,) booleans.

    Alternating projection (von Neumann 1950; for convex sets Bregman 1965) between the band, with the l2 ball, which is
    round in it, and the box of pixels, with the l-inf ball. Ends in the box, at most `LEAK` outside the band; where
    `CYCLES` do not lead there the result is 0 and the boolean False. That happens where no perturbation has a place:
    the constant ones, for an image that has black and white pixels.
    """
    bound = ball.eps if ball.norm == "linf" else math.inf
    inside, placed = project(change), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    change, rows = torch.zeros_like(x), torch.arange(len(x), device=x.device)
    for _ in range(CYCLES):
        if ball.norm == "l2":
            inside = balls.project(inside, "l2", ball.eps)
        clipped = (x[rows] + inside.clamp(-bound, bound)).clamp(0, 1) - x[rows]
        onto = project(clipped)
        done = energy(clipped - onto) <= LEAK * energy(clipped)
        change[rows[done]], placed[rows[done]] = clipped[done], True
        rows, inside = rows[~done], onto[~done]
        if not len(rows):
            break
    return change, placed


def leak(change: Tensor, project: Projection) -> Tensor:
    """Share of each perturbation's energy outside the band, NaN for 0: (N, C, H, W) -> (N,)."""
    return energy(change - project(change)) / energy(change)


def energy(change: Tensor) -> Tensor:
    """Squared l2 norm of each perturbation: (N, C, H, W) -> (N,)."""
    return change.flatten(1).square().sum(1)


def projection(band: Band | Lowest, height: int, width: int) -> Projection:
    """Images to what of them lies in a band; ValueError for a band without coefficients."""
    mask = lowest(band.ratio, height, width) if isinstance(band, Lowest) else band_mask(band, height, width)
    basis: Basis = band.basis if band.keep in ("inside", "outside") else "dct"

    def project(x: Tensor) -> Tensor:
        if basis == "dct":
            return idct2(dct2(x) * mask.to(x.device))
        return idft2(dft2(x) * mask[:, : width // 2 + 1].to(x.device), width)

    return project


def lowest(ratio: float, height: int, width: int) -> Tensor:
    """DCT coefficients of the lowest `ratio` of rows and of columns: (H, W) (Guo, Frank & Weinberger 2019, section 3).

    Rounded to whole rows and columns; ValueError where there is none.
    """
    rows, columns = round(ratio * height), round(ratio * width)
    if not (rows and columns):
        raise ValueError(f"expected a ratio that keeps a coefficient of {height} x {width} images, got {ratio:g}")
    return (torch.arange(height) < rows)[:, None] & (torch.arange(width) < columns)


def fourier(
    settings: FourierLinf | FourierL2,
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    """One Fourier direction of norm eps, the same for all images and channels, clipped to [0, 1]: (N, C, H, W).

    cos + sin of 2 pi (row h / H + column w / W) (Tsuzuku & Sato 2019, section 4): real, and no direction vanishes. Its
    energy lies in one DFT coefficient and its mirror, but for what the clip spills. No query, no randomness.
    """
    height, width = x.shape[-2:]
    for name, size in (("row", height), ("column", width)):
        if getattr(settings, name) >= size:
            got = getattr(settings, name)
            raise ValueError(f"{name}: expected a frequency below {size} for {height} x {width} images, got {got}")
    turns = settings.row * torch.arange(height)[:, None] / height + settings.column * torch.arange(width) / width
    wave = (torch.cos(2 * math.pi * turns) + torch.sin(2 * math.pi * turns)).expand(1, *x.shape[1:])
    return (x + balls.scaled(wave, *settings.ball).to(x)).clamp(0, 1)
