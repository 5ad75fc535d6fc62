"""Balls of perturbations in three norms: sizes, random points, projections, directions of steps.

Perturbations are (N, C, H, W) in units of pixels in [0, 1]; norms are those of each image.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1"]
Direction = Literal["sign", "l2", "raw"]
_ROUNDING = 2.0**-25  # by which adding a perturbation to a pixel of [0, 1] may lengthen it in float32: in l1 it adds up


class Ball(NamedTuple):
    """Perturbations of norm <= eps, in units of pixels in [0, 1]."""

    norm: Norm
    eps: float


def norms(change: Tensor, norm: Norm) -> Tensor:
    """Norm of each perturbation: (N, C, H, W) -> (N,)."""
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(p=int(norm.removeprefix("l")), dim=1)


def tolerance(eps: float) -> float:
    """How far rounding may carry a norm beyond eps: relative where eps > 1."""
    return 1e-6 * max(1.0, eps)


def each(values: Tensor) -> Tensor:
    """One number for each image, ready to multiply images: (N,) -> (N, 1, 1, 1)."""
    return values[:, None, None, None]


def scaled(change: Tensor, norm: Norm, to: float | Tensor) -> Tensor:
    """Every perturbation stretched to the norm `to`; zero stays zero."""
    length = norms(change, norm)
    return change * each(torch.where(length > 0, to / length.clamp_min(torch.finfo(change.dtype).tiny), 0))


def project(change: Tensor, norm: Norm, eps: float) -> Tensor:
    """The nearest perturbation (in l2) of norm <= eps: (N, C, H, W) -> (N, C, H, W)."""
    if norm == "linf":
        return change.clamp(-eps, eps)
    if norm == "l2":
        length = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(change.dtype).tiny)
        return change * each((eps / length).clamp(max=1))
    return _project_l1(change, max(0.0, eps - _ROUNDING * change[0].numel()))


def random_point(shape: tuple[int, ...], norm: Norm, eps: float, generator: torch.Generator) -> Tensor:
    """A point of the ball, (C, H, W): l-inf uniform in the cube; l2 and l1 uniform in direction and in radius."""
    if norm == "linf":
        return (2 * torch.rand(shape, generator=generator) - 1) * eps
    direction = torch.randn(shape, generator=generator)
    radius = eps * torch.rand((), generator=generator)
    return direction * (radius / norms(direction[None], norm))


def random_start(x: Tensor, norm: Norm, eps: float, generators: list[torch.Generator]) -> Tensor:
    """x plus a random point of the ball, each by its own generator, clipped to [0, 1]: (N, C, H, W)."""
    points = [random_point(x.shape[1:], norm, eps, generator) for generator in generators]
    return (x + torch.stack(points).to(x)).clamp(0, 1)


def step(gradient: Tensor, direction: Direction, norm: Norm, length: float) -> Tensor:
    """A step along the gradient's sign, along the gradient scaled, or `length` times the gradient as it is.

    The first two have the same size: `length` in the l2 or l1 norm of the ball; in an l-inf ball `length` is the root
    mean square of the pixels, so that a sign step moves each pixel by it. Hence the two differ in shape alone.
    """
    pixels = gradient[0].numel()
    if direction == "raw":
        return length * gradient
    if direction == "sign":
        return gradient.sign() * (length / {"linf": 1, "l2": pixels**0.5, "l1": pixels}[norm])
    return (
        scaled(gradient, "l1", length)
        if norm == "l1"
        else scaled(gradient, "l2", length * (pixels**0.5 if norm == "linf" else 1))
    )


def _project_l1(change: Tensor, eps: float) -> Tensor:
    """Soft thresholding at the level that leaves l1 norm eps (Duchi et al. 2008, Fig. 1)."""
    flat = change.flatten(1).double()
    ordered = flat.abs().sort(1, descending=True).values
    excess = ordered.cumsum(1) - eps  # (N, D)
    counts = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    last = (ordered * counts > excess).sum(1, keepdim=True).clamp_min(1)
    level = (excess.gather(1, last - 1) / last).clamp_min(0)
    return (flat.sign() * (flat.abs() - level).clamp_min(0)).to(change).view_as(change)
