"""HopSkipJump: a black-box attack by predicted classes alone (Chen, Jordan & Wainwright 2020)."""

import math

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_black_box import HopSkipJumpL2, HopSkipJumpLinf
from spectroscope.frequency import balls
from spectroscope.frequency.balls import norms

AT_ONCE = 64  # probes in one forward pass, where fewer images than that are left
LARGEST = 10_000  # probes for one gradient, as in the paper

Settings = HopSkipJumpLinf | HopSkipJumpL2


@torch.no_grad()
def hop_skip_jump(
    settings: Settings, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """The nearest adversary found, or x: (N, C, H, W) (Chen et al. 2020, Algorithm 2).

    From a start that fools, again and again: to the boundary by bisection (Algorithm 1), the gradient there by probes
    (Eqs. 9, 16), a step of the paper's length, halved until it fools. Where a radius is set, an image is done inside it
    and the others are drawn back onto it. Each image ends when it has asked `max_queries`; what happens to one does not
    touch another, they only share forward passes. Deviation: the start; see `_start`.
    """
    ball = settings.ball
    z, rows = _start(settings, predict, x, generators)
    nearest = x.clone()
    distance = torch.full_like(x[:, 0, 0, 0], math.inf)
    turn = 0
    while len(rows):
        turn += 1
        z[rows] = _to_boundary(settings, predict, z[rows], x[rows], rows)
        length = norms(z[rows] - x[rows], settings.norm)
        nearer = length < distance[rows]
        nearest[rows[nearer]], distance[rows[nearer]] = z[rows[nearer]], length[nearer]
        going = _left(settings, predict, rows) > 0
        if ball:
            going &= distance[rows] > ball.eps
        rows, length = rows[going], length[going]
        if len(rows):
            gradient = _gradient(settings, predict, z, length, rows, generators, turn)
            z[rows] = _step(settings, predict, z[rows], gradient, length / math.sqrt(turn), rows)
    if ball:
        nearest = (x + balls.project(nearest - x, *ball)).clamp(0, 1)
    return nearest


def _left(settings: Settings, predict: CountingModel, rows: Tensor) -> Tensor:
    """Queries that each image may still ask: (m,)."""
    return settings.max_queries - predict.count[rows]


def _fools(settings: Settings, predict: CountingModel, z: Tensor, rows: Tensor) -> Tensor:
    """Whether z (m, C, H, W) fools; False, unasked, for an image without queries left: (m,) booleans."""
    answer, asked = torch.zeros_like(rows, dtype=torch.bool), _left(settings, predict, rows) > 0
    if asked.any():
        answer[asked] = predict.fooled(predict(z[asked], rows[asked]), rows[asked])
    return answer


def _start(
    settings: Settings, predict: CountingModel, x: Tensor, generators: list[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Points that fool, (N, C, H, W), and the images that have one, (m,).

    Uniform noise, then mixtures of the image with new noise in random proportions, until one fools or the queries end:
    the paper asks for noise alone, of which a network may see nothing but one class.
    """
    z, rows = x.clone(), torch.arange(len(x), device=x.device)
    for trial in range(settings.max_queries):
        for row in rows.tolist():
            noise = torch.rand(x.shape[1:], generator=generators[row]).to(x)
            part = 1.0 if trial == 0 else float(torch.rand((), generator=generators[row]))
            z[row] = torch.lerp(x[row], noise, part)
        rows = rows[~_fools(settings, predict, z[rows], rows)]
        if not len(rows):
            break
    started = torch.ones(len(x), dtype=torch.bool, device=x.device)
    started[rows] = False
    return z, started.nonzero()[:, 0]


def _to_boundary(settings: Settings, predict: CountingModel, z: Tensor, x: Tensor, rows: Tensor) -> Tensor:
    """The fooling end of a bisection between z, which fools, and x: (m, C, H, W) (Algorithm 1).

    In l2 along the line, in l-inf along the projections of z onto smaller and smaller cubes around x, down to `_theta`
    of the distance. A point is asked about as it will be stored, x plus a change: the boundary is as near as rounding.
    """
    change = z - x
    distance = balls.each(change.flatten(1).abs().amax(1))

    def between(part: Tensor) -> Tensor:
        share = balls.each(part)
        nearer = change * share if settings.norm == "l2" else change.clamp(-share * distance, share * distance)
        return (x + torch.where(share < 1, nearer, change)).clamp(0, 1)

    low, high = torch.zeros_like(x[:, 0, 0, 0]), torch.ones_like(x[:, 0, 0, 0])
    for _ in range(math.ceil(-math.log2(_theta(settings, x)))):
        middle = (low + high) / 2
        fools = _fools(settings, predict, between(middle), rows)
        low, high = torch.where(fools, low, middle), torch.where(fools, middle, high)
    return between(high)


def _theta(settings: Settings, x: Tensor) -> float:
    """Precision of the bisection: d^(-3/2) in l2, d^-2 in l-inf, d pixels (section III-C, q = 1 - 1/p)."""
    return x[0].numel() ** (-1.5 if settings.norm == "l2" else -2.0)


def _gradient(
    settings: Settings,
    predict: CountingModel,
    z: Tensor,
    length: Tensor,
    rows: Tensor,
    generators: list[torch.Generator],
    turn: int,
) -> Tensor:
    """Direction in which more points fool: (m, C, H, W), sum of (phi - mean phi) u over probes z + radius u (Eq. 16).

    phi: 1 where a probe fools, -1 where not; where all agree, the sum of phi u. u: unit directions, normal in l2 and
    uniform in l-inf, after the clip to [0, 1]. radius: 0.1 at first, then sqrt(d) theta times the distance in l2 and d
    theta times in l-inf (section III-C). initial_probes times sqrt(turn) probes, as far as the queries last.
    """
    pixels = z[0].numel()
    radius = length * _theta(settings, z) * (math.sqrt(pixels) if settings.norm == "l2" else pixels)
    radius = torch.full_like(radius, 0.1) if turn == 1 else radius
    wanted = min(LARGEST, int(settings.initial_probes * math.sqrt(turn)))
    wanted = _left(settings, predict, rows).clamp_max(wanted)
    answers = torch.zeros_like(length)
    plain, weighted = torch.zeros_like(z[rows]), torch.zeros_like(z[rows])
    for first in range(0, int(wanted.max()), share := max(1, AT_ONCE // len(rows))):
        places = torch.arange(len(rows), device=z.device).repeat_interleave((wanted - first).clamp(0, share))
        u = torch.stack([_direction(settings, z.shape[1:], generators[int(row)]) for row in rows[places]]).to(z)
        centre, reach = z[rows[places]], balls.each(radius[places])
        probes = (centre + reach * u).clamp(0, 1)
        u = (probes - centre) / reach
        fools = predict.fooled(predict(probes, rows[places]), rows[places])
        phi = torch.where(fools, 1.0, -1.0)
        answers.index_add_(0, places, phi)
        plain.index_add_(0, places, u)
        weighted.index_add_(0, places, balls.each(phi) * u)
    mean = answers / wanted
    return weighted - balls.each(torch.where(mean.abs() == 1, 0, mean)) * plain


def _direction(settings: Settings, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if settings.norm == "l2":
        u = torch.randn(shape, generator=generator)
    else:
        u = 2 * torch.rand(shape, generator=generator) - 1
    return u / u.norm()


def _step(
    settings: Settings, predict: CountingModel, z: Tensor, gradient: Tensor, length: Tensor, rows: Tensor
) -> Tensor:
    """z moved by `length` along the gradient (l2) or its sign (l-inf), halved until it fools (section III-B, Eq. 12).

    An image whose queries run out first stays where it is.
    """
    direction = balls.scaled(gradient, "l2", 1.0) if settings.norm == "l2" else gradient.sign()
    moved, length, pending = z.clone(), length.clone(), torch.arange(len(rows), device=z.device)
    while len(pending):
        tried = (z[pending] + balls.each(length[pending]) * direction[pending]).clamp(0, 1)
        fools = _fools(settings, predict, tried, rows[pending])
        moved[pending[fools]] = tried[fools]
        pending = pending[~fools & (_left(settings, predict, rows[pending]) > 0)]
        length[pending] /= 2
    return moved
