"""Norm balls of perturbations: norms, projection, random points, and the steps of attacks inside them.

Perturbations are float (N, C, H, W) in units of pixels in [0, 1]; each image's perturbation has its own norm.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Norm = Literal["linf", "l2", "l1"]
Direction = Literal["sign", "l2", "raw"]
Generators = torch.Generator | list[torch.Generator]  # one for all images, or one for each
_ROUNDING = 2.0**-25  # most that float32 rounding of pixel + perturbation in [0, 1] adds to one pixel's change


class Ball(NamedTuple):
    """Perturbations of norm <= eps, in units of pixels in [0, 1]."""

    norm: Norm
    eps: float


def norms(change: Tensor, norm: Norm) -> Tensor:
    """Norm of each perturbation: (N, C, H, W) -> (N,). Sums are in float64: the pixels of a photograph are many."""
    flat = change.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    return torch.linalg.vector_norm(flat, int(norm.removeprefix("l")), dim=1, dtype=torch.float64).to(change)


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
        length = norms(change, norm).clamp_min(torch.finfo(change.dtype).tiny)
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


def inside(x: Tensor, change: Tensor, norm: Norm, eps: float) -> Tensor:
    """x + change, the change projected onto the ball and the pixels then clipped to [0, 1]: (N, C, H, W) twice -> once.

    A pixel of x outside [0, 1], as in images without DC, may stay there but never moves further out: clipped to [0, 1]
    it would leave the ball.
    """
    return (x + project(change, norm, eps)).clamp(x.clamp(max=0), x.clamp(min=1))


def random_point(x: Tensor, norm: Norm, eps: float, generators: Generators) -> Tensor:
    """Random perturbations of the images x, uniform in the volume of the ball: (N, C, H, W) -> (N, C, H, W).

    l-inf: every pixel uniform in [-eps, eps]. l2 and l1: a direction from independent Gaussian (l2) or Laplace (l1)
    draws, and a norm of eps u^(1/D), u uniform in [0, 1], D = C H W (Schechtman & Zinn 1990). With many pixels nearly
    every norm is close to eps.
    """
    if isinstance(generators, list):
        points = [random_point(image[None], norm, eps, own) for image, own in zip(x, generators, strict=True)]
        return torch.cat(points)
    if norm == "linf":
        return (2 * torch.rand(x.shape, generator=generators).to(x) - 1) * eps
    if norm == "l2":
        direction = torch.randn(x.shape, generator=generators).to(x)
    else:  # Laplace: the difference of two exponential draws
        first, second = -torch.log1p(-torch.rand((2, *x.shape), generator=generators)).to(x)
        direction = first - second
    u = torch.rand(len(x), generator=generators).to(x)
    return scaled(direction, norm, eps * u ** (1 / x[0].numel()))


def random_start(x: Tensor, norm: Norm, eps: float, generators: Generators) -> Tensor:
    """Images plus a `random_point` of the ball, clipped to [0, 1]: (N, C, H, W) -> (N, C, H, W)."""
    return inside(x, random_point(x, norm, eps, generators), norm, eps)


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
