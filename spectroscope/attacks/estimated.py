"""NES and SPSA: black-box attacks that descend a gradient estimated from scores alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_black_box import NesL2, NesLinf, SpsaL2, SpsaLinf
from spectroscope.frequency import balls

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]  # (C, H, W), a generator -> (C, H, W)
BETAS, SMALL = (0.9, 0.999), 1e-8  # Adam's (Kingma & Ba 2015)


@torch.no_grad()
def nes(
    settings: NesLinf | NesL2, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """Projected steps along an estimated gradient with momentum: (N, C, H, W) (Ilyas et al. 2018, sections 2.2-2.3).

    Normal probes in pairs; a sign step in l-inf, a normalised one in l2. See `_descend`.
    """
    velocity = torch.zeros_like(x)

    def step(gradient: Tensor, rows: Tensor) -> Tensor:
        velocity[rows] = settings.momentum * velocity[rows] + gradient
        direction = "sign" if settings.norm == "linf" else "l2"
        return balls.step(-velocity[rows], direction, settings.norm, settings.step_size)

    return _descend(settings, predict, x, generators, _normal, step)


@torch.no_grad()
def spsa(
    settings: SpsaLinf | SpsaL2, predict: CountingModel, x: Tensor, labels: Tensor, generators: list[torch.Generator]
) -> Tensor:
    """Projected Adam steps along an estimated gradient: (N, C, H, W) (Uesato et al. 2018, section 4.1, Algorithm 1).

    Probes of random signs in pairs. See `_descend`.
    """
    mean, square, done = torch.zeros_like(x), torch.zeros_like(x), 0

    def step(gradient: Tensor, rows: Tensor) -> Tensor:
        nonlocal done
        done += 1
        mean[rows] = BETAS[0] * mean[rows] + (1 - BETAS[0]) * gradient
        square[rows] = BETAS[1] * square[rows] + (1 - BETAS[1]) * gradient.square()
        first, second = mean[rows] / (1 - BETAS[0] ** done), square[rows] / (1 - BETAS[1] ** done)
        return -settings.step_size * first / (second.sqrt() + SMALL)

    return _descend(settings, predict, x, generators, _signs, step)


def _descend(
    settings: NesLinf | NesL2 | SpsaLinf | SpsaL2,
    predict: CountingModel,
    x: Tensor,
    generators: list[torch.Generator],
    draw: Draw,
    step: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Estimate, step, project, look whether it fools: (N, C, H, W).

    A step costs `samples` queries and one to look; the last has as many pairs of probes as the budget leaves. All
    images that resist are at the same step. Deviations from both papers: the objective is the log odds, which do not
    saturate in float32; probes are clipped to [0, 1].
    """
    z, rows, spent = x.clone(), torch.arange(len(x), device=x.device), 0
    while len(rows):
        pairs = min(settings.samples // 2, (settings.max_queries - spent - 1) // 2)
        if pairs < 1:
            break
        gradient = _estimate(predict, z[rows], rows, generators, pairs, settings.radius, draw)
        change = balls.project(z[rows] + step(gradient, rows) - x[rows], *settings.ball)
        z[rows] = (x[rows] + change).clamp(0, 1)
        fooled = predict.fooled(predict(z[rows], rows), rows)
        spent += 2 * pairs + 1
        rows = rows[~fooled]
    return z


def _estimate(
    predict: CountingModel,
    z: Tensor,
    rows: Tensor,
    generators: list[torch.Generator],
    pairs: int,
    radius: float,
    draw: Draw,
) -> Tensor:
    """Mean over pairs of (f(z + r u) - f(z - r u)) / 2r times u, each image's u by its own generator: (m, C, H, W)."""
    total, twice = torch.zeros_like(z), rows.repeat(2)
    for _ in range(pairs):
        u = torch.stack([draw(z.shape[1:], generators[row]) for row in rows.tolist()]).to(z)
        probes = torch.cat([z + radius * u, z - radius * u]).clamp(0, 1)
        above, below = predict.odds(predict(probes, twice), twice).chunk(2)
        total += balls.each((above - below) / (2 * radius)) * u
    return total / pairs


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1
