"""Norm balls of perturbations: norms, projection, random points, and the steps of attacks inside them.

Perturbations are float (N, C, H, W) in units of pixels in [0, 1]; each image's perturbation has its own norm.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1"]
Direction = Literal["sign", "l2", "raw"]
_ROUNDING = 2.0**-25  # most that float32 rounding of pixel + perturbation in [0, 1] adds to one pixel's change


class Ball(NamedTuple):
    """Perturbations of norm <= eps, in units of pixels in [0, 1]."""

    norm: Norm
    eps: float


def norms(change: Tensor, norm: Norm) -> Tensor:
    """Norm of each perturbation: (N, C, H, W) -> (N,)."""
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(p=int(norm.removeprefix("l")), dim=1)


def tolerance(eps: float) -> float:
    """Excess of a norm over eps that counts as rounding: 1e-6, relative for eps > 1."""
    return 1e-6 * max(1.0, eps)


def each(values: Tensor) -> Tensor:
    """One value per image, shaped to broadcast over images: (N,) -> (N, 1, 1, 1)."""
    return values[:, None, None, None]


def scaled(change: Tensor, norm: Norm, to: float | Tensor) -> Tensor:
    """Perturbations scaled to the norm `to`, a number or (N,): (N, C, H, W) -> (N, C, H, W); zero stays zero."""
    length = norms(change, norm)
    return change * each(torch.where(length > 0, to / length.clamp_min(torch.finfo(change.dtype).tiny), 0))


def project(change: Tensor, norm: Norm, eps: float) -> Tensor:
    """Nearest perturbation, in l2, of norm <= eps: (N, C, H, W) -> (N, C, H, W)."""
    if norm == "linf":
        return change.clamp(-eps, eps)
    if norm == "l2":
        length = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(change.dtype).tiny)
        return change * each((eps / length).clamp(max=1))
    # in l1 the rounding errors of all pixels add up: a smaller ball keeps (x + change) - x within eps
    return _project_l1(change, max(0.0, eps - _ROUNDING * change[0].numel()))


def _project_l1(change: Tensor, eps: float) -> Tensor:
    """Soft thresholding at the level that leaves an l1 norm of eps (Duchi et al. 2008, Fig. 1), in float64."""
    flat = change.flatten(1).double()
    ordered = flat.abs().sort(1, descending=True).values
    excess = ordered.cumsum(1) - eps  # (N, D)
    counts = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    kept = (ordered * counts > excess).sum(1, keepdim=True).clamp_min(1)  # pixels that stay non-zero
    level = (excess.gather(1, kept - 1) / kept).clamp_min(0)
    return (flat.sign() * (flat.abs() - level).clamp_min(0)).to(change).view_as(change)


def random_point(shape: tuple[int, ...], norm: Norm, eps: float, generator: torch.Generator) -> Tensor:
    """Random perturbation of norm <= eps, (C, H, W).

    l-inf: uniform in the ball. l2 and l1: a Gaussian direction and a norm uniform in [0, eps]; of points uniform in
    volume, nearly all would have norm eps, since the number of dimensions is large.
    """
    if norm == "linf":
        return (2 * torch.rand(shape, generator=generator) - 1) * eps
    direction = torch.randn(shape, generator=generator)
    radius = eps * torch.rand((), generator=generator)
    return direction * (radius / norms(direction[None], norm))


def random_start(x: Tensor, norm: Norm, eps: float, generators: list[torch.Generator]) -> Tensor:
    """Images plus a random point of the ball, clipped to [0, 1]: (N, C, H, W) and N generators -> (N, C, H, W)."""
    points = [random_point(x.shape[1:], norm, eps, generator) for generator in generators]
    return (x + torch.stack(points).to(x)).clamp(0, 1)


def step(gradient: Tensor, direction: Direction, norm: Norm, length: float) -> Tensor:
    """Step of an attack: (N, C, H, W) -> (N, C, H, W).

    sign: along the gradient's sign. l2: along the gradient. raw: `length` times the gradient, unscaled. Sign and l2
    steps have the same size, so that they differ in direction alone: `length` in the norm of an l2 or l1 ball; in an
    l-inf ball `length` is the root mean square over pixels, hence the change of every pixel by a sign step.
    """
    pixels = gradient[0].numel()
    if direction == "raw":
        return length * gradient
    if direction == "sign":
        return gradient.sign() * (length / {"linf": 1, "l2": pixels**0.5, "l1": pixels}[norm])
    if norm == "l1":
        return scaled(gradient, "l1", length)
    return scaled(gradient, "l2", length * (pixels**0.5 if norm == "linf" else 1))
