"""Square: black-box random search by scores alone, one square window at a time (Andriushchenko et al. 2020)."""

import torch
from torch import Tensor

from spectroscope.attacks import losses
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings_yardstick import SquareL2, SquareLinf
from spectroscope.frequency import balls
from spectroscope.frequency.balls import Norm

_BLOCK = 100  # proposals of an image drawn at once from its generator: the memory does not grow with the budget
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 iterations (section 3.2)
_TILES = 5  # by side, in the first perturbation in l2


def square(
    settings: SquareLinf | SquareL2,
    predict: CountingModel,
    x: Tensor,
    labels: Tensor,
    generators: list[torch.Generator],
) -> Tensor:
    """Adversaries, or the points reached when the queries ran out: (N, C, H, W)."""
    return search(predict, x, *settings.ball, settings.first_share, settings.max_queries, generators)


@torch.no_grad()
def search(
    predict: CountingModel,
    x: Tensor,
    norm: Norm,
    eps: float,
    first_share: float,
    max_queries: int,
    generators: list[torch.Generator],
) -> Tensor:
    """Random search that keeps what does not lower the margin loss (Andriushchenko et al. 2020, Algorithm 1).

    The first query is about the first perturbation, each later one about a window. An image that is fooled is done.
    """
    propose, start = _PROPOSALS[norm], _STARTS[norm]
    channels, height, width = x.shape[1:]
    loss = losses.margin(predict)
    reached, rows = x.clone(), torch.arange(len(x), device=x.device)
    change = torch.stack([start(x.shape[1:], eps, generator) for generator in generators]).to(x)
    now = (x + change).clamp(0, 1)
    logits = predict(now, rows)
    value, fooled = loss(logits, rows), predict.fooled(logits, rows)
    draws = torch.empty(0)
    for asked in range(1, max_queries + 1):
        if fooled.any():
            reached[rows[fooled]] = now[fooled]
            rows, x, now, value = (part[~fooled] for part in (rows, x, now, value))
            draws = draws[~fooled] if len(draws) else draws
        if asked == max_queries or not len(rows):
            break
        used = (asked - 1) % _BLOCK
        if not used:
            drawn = [torch.rand(_BLOCK, 5 + channels, generator=generators[row]) for row in rows.tolist()]
            draws = torch.stack(drawn).to(x.device)
        side = _side(first_share, asked - 1, max_queries, height, width)
        tried = propose(x, now, eps, side, draws[:, used])
        logits = predict(tried, rows)
        tried_value, fooled = loss(logits, rows), predict.fooled(logits, rows)
        kept = fooled | (tried_value >= value)
        now = torch.where(balls.each(kept), tried, now)
        value = torch.where(kept, tried_value, value)
    reached[rows] = now
    return reached


def _side(first_share: float, iteration: int, max_queries: int, height: int, width: int) -> int:
    """Side of the windows: the share of pixels halves at fixed parts of the budget (section 3.2)."""
    halvings = sum(iteration > round(mark * max_queries / 10_000) for mark in _HALVINGS)
    return max(1, min(height, width, round((first_share / 2**halvings * height * width) ** 0.5)))


def _stripes(shape: torch.Size, eps: float, generator: torch.Generator) -> Tensor:
    """Columns of +eps or -eps, drawn channel by channel: (C, H, W) (section 3.3)."""
    channels, height, width = shape
    signs = torch.randint(0, 2, (channels, 1, width), generator=generator) * 2 - 1
    return (eps * signs).expand(channels, height, width)


def _windows(draws: Tensor, side: int, height: int, width: int) -> Tensor:
    """Windows at places drawn from [0, 1), (m, 2): (m, 1, H, W) booleans."""
    top, left = ((draws[:, axis] * (size - side + 1)).long() for axis, size in enumerate((height, width)))
    inside = [
        (torch.arange(size, device=draws.device) >= first[:, None])
        & (torch.arange(size, device=draws.device) < first[:, None] + side)
        for first, size in ((top, height), (left, width))
    ]
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]


def _propose_linf(x: Tensor, now: Tensor, eps: float, side: int, draws: Tensor) -> Tensor:
    """A window of +-eps by channel: (m, C, H, W) (Algorithm 2; the step of 2 eps, projected, reaches that)."""
    signs = torch.where(draws[:, 5:] < 0.5, -eps, eps)[:, :, None, None]
    window = _windows(draws[:, :2], side, *x.shape[2:])
    return torch.where(window, (x + signs).clamp(0, 1), now)


def _tiles(shape: torch.Size, eps: float, generator: torch.Generator) -> Tensor:
    """Bumps of random sign by channel on a grid of tiles, of l2 norm eps: (C, H, W) (section 3.4)."""
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


def _propose_l2(x: Tensor, now: Tensor, eps: float, side: int, draws: Tensor) -> Tensor:
    """The mass of a second window, and what the ball leaves unused, moved into a bump in a first window (Algorithm 3).

    Windows are odd and at least 3 pixels a side.
    """
    height, width = x.shape[2:]
    side = min(max(side, 3) // 2 * 2 + 1, (min(height, width) - 1) // 2 * 2 + 1)
    change = now - x
    first, second = (_windows(draws[:, at : at + 2], side, height, width) for at in (0, 2))
    length = change.flatten(1).norm(dim=1)
    unused = (eps**2 - length**2).clamp_min(0)[:, None, None, None] / x.shape[1]
    mass = (change**2 * (first | second)).sum((2, 3), keepdim=True)  # (m, C, 1, 1)
    old = change * first
    old = old / old.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
    signs = torch.where(draws[:, 5:] < 0.5, -1.0, 1.0)[:, :, None, None]
    wanted = old + signs * _placed(draws, side, height, width)[:, None]
    wanted = wanted / wanted.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
    moved = torch.where(first, wanted * (mass + unused).sqrt(), torch.where(second, 0, change))
    return (x + balls.project(moved, "l2", eps)).clamp(0, 1)


def _placed(draws: Tensor, side: int, height: int, width: int) -> Tensor:
    """Two bumps of opposite sign side by side, of norm 1, lying or standing in each first window: (m, H, W)."""
    pair = torch.cat([_bump(side, side // 2), -_bump(side, side - side // 2)], 1).to(draws)
    pair = pair / pair.norm()
    placed = draws.new_zeros(len(draws), height, width)
    window = _windows(draws[:, :2], side, height, width)[:, 0]
    lying = (draws[:, 4] < 0.5)[:, None, None]
    placed[window] = torch.where(lying, pair, pair.T).reshape(-1)
    return placed


def _bump(height: int, width: int) -> Tensor:
    """Nested rectangles that grow towards the middle: (height, width) (section 3.4, Eq. 2).

    Cell (r, s) holds the sum over k = 0..M of 1 / (n + 1 - k)^2, n = height // 2, with M the number of rings around it.
    """
    half = height // 2
    r, s = torch.arange(height)[:, None], torch.arange(width)[None, :]
    ring = half - torch.maximum((r - height // 2).abs(), (s - width // 2).abs())  # M of each cell
    terms = 1.0 / (half + 1 - torch.arange(half + 1)) ** 2
    return terms.cumsum(0)[ring.clamp_min(0)]


_STARTS = {"linf": _stripes, "l2": _tiles}
_PROPOSALS = {"linf": _propose_linf, "l2": _propose_l2}
