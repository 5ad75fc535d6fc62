"""Descent along a gradient estimated from scores alone, which NES and SPSA share. `max_queries`: for one image."""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, Step
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

Directions = Callable[[Tensor], Tensor]  # images (m,) -> a random direction for each (m, C, H, W)


class ProbeSettings(Settings):
    """A gradient estimated from `samples` probes at the distance `radius`."""

    samples: Annotated[int, Field(ge=2, multiple_of=2)]
    radius: Step
    max_queries: Count


def descend(
    settings: ProbeSettings,
    ball: Ball,
    model: CountingModel,
    x: Tensor,
    directions: Directions,
    step: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Estimates the gradient, steps, projects and tests whether the image is fooled, again and again: (N, C, H, W).

    `step`: estimated gradients (m, C, H, W) of images (m,) -> perturbations to add. A step costs `samples` queries and
    one to test it; the last has as many pairs of probes as the budget leaves. All images that resist are at the same
    step. Deviations from both papers: the objective is the log odds, which do not saturate in float32; probes are
    clipped to [0, 1].
    """
    z, rows, queries = x.clone(), torch.arange(len(x), device=x.device), 0
    while len(rows):
        pairs = min(settings.samples // 2, (settings.max_queries - queries - 1) // 2)
        if pairs < 1:
            break
        gradient = estimate_gradient(model, z[rows], rows, directions, pairs, settings.radius)
        z[rows] = balls.inside(x[rows], z[rows] + step(gradient, rows) - x[rows], *ball)
        fooled = model.fooled(model(z[rows], rows), rows)
        queries += 2 * pairs + 1
        rows = rows[~fooled]
    return z


def estimate_gradient(
    model: CountingModel, z: Tensor, rows: Tensor, directions: Directions, pairs: int, radius: float
) -> Tensor:
    """Mean over pairs of probes of (f(z + r u) - f(z - r u)) / 2r times the direction u: (m, C, H, W)."""
    total, twice = torch.zeros_like(z), rows.repeat(2)
    for _ in range(pairs):
        u = directions(rows)
        probes = torch.cat([z + radius * u, z - radius * u]).clamp(0, 1)
        above, below = model.objective(model(probes, twice), twice).chunk(2)
        total += balls.each((above - below) / (2 * radius)) * u
    return total / pairs
