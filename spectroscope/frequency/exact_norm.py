"""Perturbations of an exact size: a direction scaled until its norm after the clip to [0, 1] is the one asked for."""

from typing import Literal

import torch
from torch import Tensor

ROUNDING = 5e-7  # how far rounding may carry a norm beyond the size


def clipped_to(clean: Tensor, direction: Tensor, norm: Literal["linf", "l2"], size: Tensor) -> Tensor:
    """The change clip(clean + s direction) - clean of norm `size`, s > 0: (N, C, H, W) twice, (N,) -> (N, C, H, W).

    Each image has a scale s of its own, solved for and not searched, in float64. Pixel i reaches black or white at
    t_i = room_i / |direction_i|. l2: the squared norm, sum_i min(s |direction_i|, room_i)^2, grows with s and is
    quadratic between neighbouring t_i. l-inf: the least s at which a pixel moves by `size`. Where the clip leaves no
    room for the size, the change goes as far as black and white along the direction, and its norm is smaller. Where
    rounding would carry the norm further than `ROUNDING` beyond the size (signs on a flat image), pixels round inward.
    """
    if clean.shape != direction.shape or clean.ndim != 4:
        shapes = f"{tuple(clean.shape)} and {tuple(direction.shape)}"
        raise ValueError(f"expected images and directions (N, C, H, W) of one shape, got {shapes}")
    speed = direction.flatten(1).double().abs()  # (N, D)
    room = torch.where(direction > 0, 1 - clean.double(), clean.double()).flatten(1) * (speed > 0)
    wall = room / torch.where(speed > 0, speed, 1)
    size = size.double()[:, None]
    scale = {"linf": _scale_linf, "l2": _scale_l2}[norm](speed, room, wall, size)
    exact = (clean.double() + direction.double() * scale[:, None, None, None]).clamp(0, 1)
    rounded = exact.to(clean.dtype)
    beyond = _norm(rounded.double() - clean.double(), norm) > size[:, 0] + ROUNDING
    outward = (rounded.double() - clean).abs() > (exact - clean).abs()
    rounded = torch.where(beyond[:, None, None, None] & outward, rounded.nextafter(clean), rounded)
    return rounded - clean


def _norm(change: Tensor, norm: str) -> Tensor:
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def _scale_linf(speed: Tensor, room: Tensor, wall: Tensor, size: Tensor) -> Tensor:
    reaching = torch.where((room >= size) & (speed > 0), size / torch.where(speed > 0, speed, 1), torch.inf).amin(1)
    return torch.where(reaching.isfinite(), reaching, wall.amax(1))


def _scale_l2(speed: Tensor, room: Tensor, wall: Tensor, size: Tensor) -> Tensor:
    wall, order = wall.sort(1)
    room, speed = room.gather(1, order).square(), speed.gather(1, order).square()
    at_wall = room.cumsum(1)
    moving = speed.flip(1).cumsum(1).flip(1)  # of this pixel and all that meet their wall later
    reached = at_wall - room + wall.square() * moving  # squared norm when this pixel meets its wall: (N, D)
    here = (reached < size.square()).sum(1, keepdim=True)  # the first pixel that is still moving at the size
    last = here.clamp_max(wall.shape[1] - 1)
    left = (size.square() - (at_wall - room).gather(1, last)).clamp_min(0)
    moving = moving.gather(1, last)
    return (left / torch.where(moving > 0, moving, 1)).sqrt()[:, 0]  # beyond the last wall where there is no room
