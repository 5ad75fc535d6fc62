"""Perturbations of an exact norm: a direction scaled until its norm, after the clip to [0, 1], is the given size."""

from typing import Literal

import torch
from torch import Tensor

from spectroscope.frequency.balls import each, norms

ROUNDING = 5e-7  # excess of a norm over its size that counts as rounding


def clipped_to(clean: Tensor, direction: Tensor, norm: Literal["linf", "l2"], size: Tensor) -> Tensor:
    """Perturbations clip(clean + s direction) - clean of norm `size`: (N, C, H, W) twice, (N,) -> (N, C, H, W).

    The scale s > 0 of each image is solved for in closed form, in float64. Pixel i reaches black or white, and stops,
    at s = room_i / |direction_i|. l2: the squared norm, the sum of min(s |direction_i|, room_i)^2, is quadratic in s
    between two such stops. l-inf: s is the least scale that changes a pixel by `size`. Where the images have no room
    for `size`, every pixel of the direction ends black or white and the norm is smaller. Where rounding would exceed
    `size` by more than `ROUNDING` (signs on a flat image), pixels are rounded towards the clean image. ValueError for
    other shapes.
    """
    if clean.shape != direction.shape or clean.ndim != 4:
        shapes = f"{tuple(clean.shape)} and {tuple(direction.shape)}"
        raise ValueError(f"expected images and directions (N, C, H, W) of one shape, got {shapes}")
    speed = direction.flatten(1).double().abs()  # change of a pixel per unit of s: (N, D)
    room = torch.where(direction > 0, 1 - clean.double(), clean.double()).flatten(1) * (speed > 0)
    stop = room / torch.where(speed > 0, speed, 1)  # the s at which a pixel is black or white
    size = size.double()[:, None]
    scale = {"linf": _scale_linf, "l2": _scale_l2}[norm](speed, room, stop, size)
    exact = (clean.double() + direction.double() * each(scale)).clamp(0, 1)
    rounded = exact.to(clean.dtype)
    too_long = norms(rounded.double() - clean.double(), norm) > size[:, 0] + ROUNDING
    outward = (rounded.double() - clean).abs() > (exact - clean).abs()
    rounded = torch.where(each(too_long) & outward, rounded.nextafter(clean), rounded)
    return rounded - clean


def _scale_linf(speed: Tensor, room: Tensor, stop: Tensor, size: Tensor) -> Tensor:
    """Least s at which a pixel has changed by `size`, or the last stop where none can: (N,)."""
    reaching = torch.where((room >= size) & (speed > 0), size / torch.where(speed > 0, speed, 1), torch.inf).amin(1)
    return torch.where(reaching.isfinite(), reaching, stop.amax(1))


def _scale_l2(speed: Tensor, room: Tensor, stop: Tensor, size: Tensor) -> Tensor:
    """The s at which the squared norm is size^2, at least the last stop where the room is smaller: (N,).

    Pixels are sorted by their stops. Between two stops the squared norm is that of the stopped pixels, sum room_i^2,
    plus s^2 times that of the moving ones, sum speed_i^2.
    """
    stop, order = stop.sort(1)
    room2, speed2 = room.gather(1, order).square(), speed.gather(1, order).square()
    stopped = room2.cumsum(1) - room2  # of the pixels before this one
    moving = speed2.flip(1).cumsum(1).flip(1)  # of this pixel and those after it
    at_stop = stopped + stop.square() * moving  # squared norm when this pixel stops: (N, D)
    first_moving = (at_stop < size.square()).sum(1, keepdim=True).clamp_max(stop.shape[1] - 1)
    missing = (size.square() - stopped.gather(1, first_moving)).clamp_min(0)  # what the moving pixels have to add
    moving = moving.gather(1, first_moving)
    return (missing / torch.where(moving > 0, moving, 1)).sqrt()[:, 0]
