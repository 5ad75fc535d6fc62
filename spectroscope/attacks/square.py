"""Square: black-box random search by scores alone, one square window at a time (Andriushchenko et al. 2020)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.sizes import Count, InL2, InLinf, Target
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Ball
from spectroscope.pipeline.params import Settings

_PROPOSAL_BATCH_SIZE = 100  # proposals whose random numbers are drawn at once: memory does not grow with the budget
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 iterations (section 3.2)
_TILES = 5  # on a side, in the first perturbation in l2


class _Square(Settings):
    """Random search by square windows (Andriushchenko et al. 2020).

    `max_queries`: for one image. `first_share`: share of the pixels in the first windows (p of the paper: 0.05 in l-inf
    and 0.1 in l2 there, 0.8 in Croce & Hein 2020).
    """

    method: Literal["square"]
    n_images: Count
    target: Target
    first_share: Annotated[float, Field(gt=0, le=1)]
    max_queries: Count


class SquareLinf(InLinf, _Square):
    """Square in an l-inf ball."""


class SquareL2(InL2, _Square):
    """Square in an l2 ball."""


Square = Annotated[SquareLinf | SquareL2, Field(discriminator="norm")]


def square(settings: Square, model: CountingModel, x: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Adversaries, or the points reached when the queries ran out: (N, C, H, W)."""
    return search(model, x, settings.ball, settings.first_share, settings.max_queries, generators)


@torch.no_grad()
def search(
    model: CountingModel,
    x: Tensor,
    ball: Ball,
    first_share: float,
    max_queries: int,
    generators: list[torch.Generator],
) -> Tensor:
    """Random search that accepts a proposal that raises the margin loss, or that fools: (N, C, H, W).

    Andriushchenko et al. 2020, Algorithm 1. The first query of an image evaluates its first perturbation, each later
    one a proposal, which changes a window. An image that is fooled takes no further query. Deviation: each image draws
    windows of its own, at any place; the authors' code draws one for a batch, never at the lower or right edge.
    """
    first_perturbation, propose = _FIRST_PERTURBATIONS[ball.norm], _PROPOSALS[ball.norm]
    channels, height, width = x.shape[1:]
    loss = losses.margin(model)
    reached, rows = x.clone(), torch.arange(len(x), device=x.device)
    change = torch.stack([first_perturbation(x.shape[1:], ball.eps, generator) for generator in generators]).to(x)
    z = (x + change).clamp(0, 1)
    logits = model(z, rows)
    value, fooled = loss(logits, rows), model.fooled(logits, rows)
    draws = torch.empty(0)
    for queries in range(1, max_queries + 1):
        if fooled.any():
            reached[rows[fooled]] = z[fooled]
            rows, x, z, value = (values[~fooled] for values in (rows, x, z, value))
            draws = draws[~fooled] if len(draws) else draws
        if queries == max_queries or not len(rows):
            break
        place = (queries - 1) % _PROPOSAL_BATCH_SIZE
        if not place:
            shape = (_PROPOSAL_BATCH_SIZE, 5 + channels)
            draws = torch.stack([torch.rand(shape, generator=generators[row]) for row in rows.tolist()]).to(x.device)
        side = _side(first_share, queries - 1, max_queries, height, width)
        proposal = propose(x, z, ball.eps, side, draws[:, place])
        logits = model(proposal, rows)
        proposal_value, fooled = loss(logits, rows), model.fooled(logits, rows)
        accepted = fooled | (proposal_value > value)
        z = torch.where(balls.each(accepted), proposal, z)
        value = torch.where(accepted, proposal_value, value)
    reached[rows] = z
    return reached


def _side(first_share: float, iteration: int, max_queries: int, height: int, width: int) -> int:
    """Side of the windows: their share of the pixels halves at fixed points of the budget (section 3.2)."""
    halvings = sum(iteration > round(mark * max_queries / 10_000) for mark in _HALVINGS)
    return max(1, min(height, width, round((first_share / 2**halvings * height * width) ** 0.5)))


def _stripes(shape: torch.Size, eps: float, generator: torch.Generator) -> Tensor:
    """Columns of +eps or -eps, drawn for each channel: (C, H, W) (section 3.3)."""
    channels, height, width = shape
    signs = torch.randint(0, 2, (channels, 1, width), generator=generator) * 2 - 1
    return (eps * signs).expand(channels, height, width)


def _windows(draws: Tensor, side: int, height: int, width: int) -> Tensor:
    """Windows at the places that numbers from [0, 1), (m, 2), choose: (m, 1, H, W) booleans."""
    rows, columns = (_interval(draws[:, axis], side, size) for axis, size in enumerate((height, width)))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _interval(draws: Tensor, side: int, size: int) -> Tensor:
    """Intervals of `side` pixels among `size`: (m,) -> (m, size) booleans."""
    first, pixels = (draws * (size - side + 1)).long()[:, None], torch.arange(size, device=draws.device)
    return (pixels >= first) & (pixels < first + side)


def _propose_linf(x: Tensor, z: Tensor, eps: float, side: int, draws: Tensor) -> Tensor:
    """z with one window of +eps or -eps in each channel: (m, C, H, W) (Algorithm 2: a step of 2 eps, projected)."""
    signs = torch.where(draws[:, 5:] < 0.5, -eps, eps)[:, :, None, None]
    window = _windows(draws[:, :2], side, *x.shape[2:])
    return torch.where(window, (x + signs).clamp(0, 1), z)


def _tiles(shape: torch.Size, eps: float, generator: torch.Generator) -> Tensor:
    """Bumps on a grid of tiles, their signs drawn for each channel, of l2 norm eps: (C, H, W) (section 3.4)."""
    channels, height, width = shape
    side = max(1, min(height, width) // _TILES)
    rows, columns = height // side, width // side
    bump = _bump(side, side)
    signs = torch.randint(0, 2, (channels, rows, columns), generator=generator) * 2.0 - 1
    change = torch.zeros(shape)
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    tiled = signs.repeat_interleave(side, 1).repeat_interleave(side, 2) * bump.tile(rows, columns)
    change[:, top : top + rows * side, left : left + columns * side] = tiled
    return change * (eps / change.norm())


def _propose_l2(x: Tensor, z: Tensor, eps: float, side: int, draws: Tensor) -> Tensor:
    """z with the energy of a second window, and what the ball leaves unused, moved into a bump in a first window.

    (m, C, H, W); Algorithm 3. Sides of windows are odd and at least 3 pixels.
    """
    height, width = x.shape[2:]
    side = min(max(side, 3) // 2 * 2 + 1, (min(height, width) - 1) // 2 * 2 + 1)
    change = z - x
    first, second = (_windows(draws[:, start : start + 2], side, height, width) for start in (0, 2))
    length = change.flatten(1).norm(dim=1)
    unused = (eps**2 - length**2).clamp_min(0)[:, None, None, None] / x.shape[1]
    energy = (change**2 * (first | second)).sum((2, 3), keepdim=True)  # (m, C, 1, 1)
    present = change * first
    present = present / present.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
    signs = torch.where(draws[:, 5:] < 0.5, -1.0, 1.0)[:, :, None, None]
    bump = present + signs * _bump_pairs(draws, side, height, width)[:, None]
    bump = bump / bump.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
    moved = torch.where(first, bump * (energy + unused).sqrt(), torch.where(second, 0, change))
    return balls.inside(x, moved, "l2", eps)


def _bump_pairs(draws: Tensor, side: int, height: int, width: int) -> Tensor:
    """Two bumps of opposite sign, of norm 1, side by side or one above the other in each first window: (m, H, W)."""
    pair = torch.cat([_bump(side, side // 2), -_bump(side, side - side // 2)], 1).to(draws)
    pair = pair / pair.norm()
    pairs = draws.new_zeros(len(draws), height, width)
    window = _windows(draws[:, :2], side, height, width)[:, 0]
    lying = (draws[:, 4] < 0.5)[:, None, None]
    pairs[window] = torch.where(lying, pair, pair.T).reshape(-1)
    return pairs


def _bump(height: int, width: int) -> Tensor:
    """Nested rectangles that grow towards the middle: (height, width) (section 3.4, Eq. 2).

    Cell (r, s) holds the sum over k = 0..M of 1 / (n + 1 - k)^2, n = height // 2, with M the number of rings around it.
    """
    half = height // 2
    r, s = torch.arange(height)[:, None], torch.arange(width)[None, :]
    ring = half - torch.maximum((r - height // 2).abs(), (s - width // 2).abs())  # M of each cell
    terms = 1.0 / (half + 1 - torch.arange(half + 1)) ** 2
    return terms.cumsum(0)[ring.clamp_min(0)]


_FIRST_PERTURBATIONS = {"linf": _stripes, "l2": _tiles}
_PROPOSALS = {"linf": _propose_linf, "l2": _propose_l2}
