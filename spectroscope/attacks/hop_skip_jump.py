"""HopSkipJump: a black-box attack by predicted classes alone (Chen, Jordan & Wainwright 2020)."""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Sizes, single
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball, norms
from spectroscope.pipeline import memory
from spectroscope.pipeline.params import Settings

PROBE_BATCH_SIZE = 64  # probes in one forward pass, where fewer images than that are left
MAX_PROBES = 10_000  # for one gradient, as in the paper


class _HopSkipJump(Settings):
    """A walk along the decision boundary, its first gradient from `initial_probes` probes (Chen et al. 2020).

    `eps`, `eps_255`: an image with an adversary in this ball is done, adversaries outside it are projected onto it;
    null for the smallest change within `max_queries`, which is for one image. Untargeted: a target would need an image
    of its class to start from.
    """

    method: Literal["hop_skip_jump"]
    n_images: Count
    initial_probes: Count
    max_queries: Count


class HopSkipJumpLinf(_HopSkipJump):
    """HopSkipJump with distances in l-inf."""

    norm: Literal["linf"]
    eps_255: Sizes | None

    @property
    def ball(self) -> Ball | None:
        return None if self.eps_255 is None else Ball("linf", single(self.eps_255) / 255)


class HopSkipJumpL2(_HopSkipJump):
    """HopSkipJump with distances in l2."""

    norm: Literal["l2"]
    eps: Sizes | None

    @property
    def ball(self) -> Ball | None:
        return None if self.eps is None else Ball("l2", single(self.eps))


HopSkipJump = Annotated[HopSkipJumpLinf | HopSkipJumpL2, Field(discriminator="norm")]


class _Search(NamedTuple):
    """What every part of the search reads: the arguments of the attack."""

    settings: HopSkipJumpLinf | HopSkipJumpL2
    model: CountingModel
    x: Tensor
    generators: list[torch.Generator]

    def queries_left(self, rows: Tensor) -> Tensor:
        """Queries that each image has left: (m,)."""
        return self.settings.max_queries - self.model.queries[rows]

    def fools(self, z: Tensor, rows: Tensor) -> Tensor:
        """Whether z (m, C, H, W) fools: (m,) booleans; False, without a query, for an image that has none left."""
        fooled, affordable = torch.zeros_like(rows, dtype=torch.bool), self.queries_left(rows) > 0
        if affordable.any():
            logits = self.model(z[affordable], rows[affordable])
            fooled[affordable] = self.model.fooled(logits, rows[affordable])
        return fooled

    def precision(self) -> float:
        """theta, of the bisection: d^(-3/2) in l2, d^-2 in l-inf, for d pixels (section III-C, q = 1 - 1/p)."""
        return self.x[0].numel() ** (-1.5 if self.settings.norm == "l2" else -2.0)


@torch.no_grad()
def hop_skip_jump(settings: HopSkipJump, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """The nearest adversary found, or x: (N, C, H, W) (Chen et al. 2020, Algorithm 2).

    From a start that fools, again and again: to the boundary by bisection (Algorithm 1), the gradient there by probes
    (Eqs. 9, 16), a step of the paper's length, halved until it fools. Each image ends when it has made `max_queries`.
    Images share forward passes and nothing else. Deviation: the start; see `_start`.
    """
    search, ball = _Search(settings, model, x, generators), settings.ball
    z, rows = _start(search)
    nearest, distance = x.clone(), torch.full_like(x[:, 0, 0, 0], math.inf)
    iteration = 0
    while len(rows):
        iteration += 1
        z[rows] = _to_boundary(search, z[rows], rows)
        length = norms(z[rows] - x[rows], settings.norm)
        nearer = length < distance[rows]
        nearest[rows[nearer]], distance[rows[nearer]] = z[rows[nearer]], length[nearer]
        unfinished = search.queries_left(rows) > 0
        if ball:
            unfinished &= distance[rows] > ball.eps
        rows, length = rows[unfinished], length[unfinished]
        if len(rows):
            gradient = _estimate_gradient(search, z[rows], rows, length, iteration)
            z[rows] = _step(search, z[rows], rows, gradient, length / math.sqrt(iteration))
    if ball:
        nearest = balls.inside(x, nearest - x, *ball)
    return nearest


def _start(search: _Search) -> tuple[Tensor, Tensor]:
    """Points that fool, (N, C, H, W), and the images that have one, (m,).

    Uniform noise, then mixtures of the image and new noise in random proportions, until one fools or the queries end.
    The paper starts from noise alone, all of which a network may see as one class.
    """
    x, generators = search.x, search.generators
    z, rows = x.clone(), torch.arange(len(x), device=x.device)
    for trial in range(search.settings.max_queries):
        for row in rows.tolist():
            noise = torch.rand(x.shape[1:], generator=generators[row]).to(x)
            share = 1.0 if trial == 0 else float(torch.rand((), generator=generators[row]))
            z[row] = torch.lerp(x[row], noise, share)
        rows = rows[~search.fools(z[rows], rows)]
        if not len(rows):
            break
    started = torch.ones(len(x), dtype=torch.bool, device=x.device)
    started[rows] = False
    return z, started.nonzero()[:, 0]


def _to_boundary(search: _Search, z: Tensor, rows: Tensor) -> Tensor:
    """The fooling end of a bisection between z, which fools, and the image: (m, C, H, W) (Algorithm 1).

    In l2 along the line, in l-inf along the projections of z onto smaller and smaller cubes around the image, down to
    `precision` times the distance. A point is queried as it will be stored, image plus change: the boundary is so near
    that rounding decides.
    """
    x = search.x[rows]
    change = z - x
    distance = balls.each(change.flatten(1).abs().amax(1))

    def between(share: Tensor) -> Tensor:
        factor = balls.each(share)
        l2 = search.settings.norm == "l2"
        nearer = change * factor if l2 else change.clamp(-factor * distance, factor * distance)
        return (x + torch.where(factor < 1, nearer, change)).clamp(0, 1)

    low, high = torch.zeros_like(x[:, 0, 0, 0]), torch.ones_like(x[:, 0, 0, 0])
    for _ in range(math.ceil(-math.log2(search.precision()))):
        middle = (low + high) / 2
        fools = search.fools(between(middle), rows)
        low, high = torch.where(fools, low, middle), torch.where(fools, middle, high)
    return between(high)


def _estimate_gradient(search: _Search, z: Tensor, rows: Tensor, distance: Tensor, iteration: int) -> Tensor:
    """The direction in which more points fool, sum of (phi - mean phi) u over probes z + radius u: (m, C, H, W).

    Eq. 16. phi: 1 where a probe fools, -1 where not; where all agree, the sum of phi u. u: unit directions, normal in
    l2 and uniform in l-inf, after the clip to [0, 1]. radius: 0.1 at first, then the distance times sqrt(d) theta in l2
    and d theta in l-inf (section III-C). initial_probes times sqrt(iteration) probes, as far as the queries last.
    """
    settings, model, pixels = search.settings, search.model, z[0].numel()
    radius = distance * search.precision() * (math.sqrt(pixels) if settings.norm == "l2" else pixels)
    radius = torch.full_like(radius, 0.1) if iteration == 1 else radius
    max_probes = min(MAX_PROBES, int(settings.initial_probes * math.sqrt(iteration)))
    n_probes = search.queries_left(rows).clamp_max(max_probes)
    phi_sum = torch.zeros_like(distance)
    u_sum, phi_u_sum = torch.zeros_like(z), torch.zeros_like(z)
    chunk = max(1, memory.fitting(PROBE_BATCH_SIZE) // len(rows))  # probes of one image in one forward pass
    for first in range(0, int(n_probes.max()), chunk):
        places = torch.arange(len(rows), device=z.device).repeat_interleave((n_probes - first).clamp(0, chunk))
        u = torch.stack([_direction(settings.norm, z.shape[1:], search.generators[int(row)]) for row in rows[places]])
        centre, reach = z[places], balls.each(radius[places])
        probes = (centre + reach * u.to(z)).clamp(0, 1)
        u = (probes - centre) / reach
        phi = torch.where(model.fooled(model(probes, rows[places]), rows[places]), 1.0, -1.0)
        phi_sum.index_add_(0, places, phi)
        u_sum.index_add_(0, places, u)
        phi_u_sum.index_add_(0, places, balls.each(phi) * u)
    mean = phi_sum / n_probes
    return phi_u_sum - balls.each(torch.where(mean.abs() == 1, 0, mean)) * u_sum


def _direction(norm: Literal["linf", "l2"], shape: torch.Size, generator: torch.Generator) -> Tensor:
    u = torch.randn(shape, generator=generator) if norm == "l2" else 2 * torch.rand(shape, generator=generator) - 1
    return u / u.norm()


def _step(search: _Search, z: Tensor, rows: Tensor, gradient: Tensor, length: Tensor) -> Tensor:
    """z moved by `length` along the gradient (l2) or its sign (l-inf), halved until it fools (section III-B, Eq. 12).

    An image whose queries run out first stays where it is.
    """
    direction = balls.scaled(gradient, "l2", 1.0) if search.settings.norm == "l2" else gradient.sign()
    moved, length, pending = z.clone(), length.clone(), torch.arange(len(rows), device=z.device)
    while len(pending):
        tried = (z[pending] + balls.each(length[pending]) * direction[pending]).clamp(0, 1)
        fools = search.fools(tried, rows[pending])
        moved[pending[fools]] = tried[fools]
        pending = pending[~fools & (search.queries_left(rows[pending]) > 0)]
        length[pending] /= 2
    return moved
