"""What is known of a network: what its file or library says, and what the user says."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from torch import nn

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Options:
    """What the user says of a network; None leaves it to its file or library."""

    architecture: str | None
    entry: str | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    size: int | None
    bgr: bool = False
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Network:
    """make: shape of the images, their number of classes -> module of normalised pixels (N, C, H, W). None: not known.

    crop: share of an image's shorter side that is shown. normalisation: where mean and std come from. gradient: whether
    the module is differentiable in its input. random: whether the weights are. run: its entry of `runs` in a study.
    """

    name: str
    kind: str
    make: Callable[[Shape, int], nn.Module]
    channels: int | None = None
    size: tuple[int, int] | None = None
    crop: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    normalisation: str | None = None
    classes: tuple[str, ...] | None = None
    gradient: bool = True
    random: bool = False
    run: dict[str, Any] | None = None


def package(name: str, extra: str, spec: str) -> ModuleType:
    """A package of an extra; ValueError with what to install where it is not there or does not load."""
    try:
        return import_module(name)
    except ImportError as error:
        reason = f"found none ({error})" if importlib.util.find_spec(name) else "found none"
        raise ValueError(
            f"{spec}: expected the package {name}, {reason}: pip install 'spectroscope[{extra}]'"
        ) from None


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
