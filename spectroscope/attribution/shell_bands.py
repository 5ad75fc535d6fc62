"""Bands of one or several whole shells, and the columns of a table that name them.

A band's position is its mean shell: the mean of its first and its last, whatever the number of coefficients in each.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "shell_"


def column_names(index: "Tensor", shell: "Tensor") -> list[str]:
    """A name for each band, `shell_3` or `shell_3-5`: index (H, W), whose bands hold the whole shells of shell (H, W).

    >>> import torch
    >>> column_names(torch.tensor([[0, 1, 1], [1, 1, 1], [1, 1, 1]]), torch.tensor([[0, 1, 2], [1, 1, 2], [2, 2, 2]]))
    ['shell_0', 'shell_1-2']
    """
    names = []
    for band in range(int(index.max()) + 1):
        first, last = (int(edge) for edge in shell[index == band].aminmax())
        names.append(f"{PREFIX}{first}" if first == last else f"{PREFIX}{first}-{last}")
    return names


def edges(names: list[str]) -> np.ndarray:
    """First and last shell of each band from its column's name: (bands, 2) integers."""
    shells = [name.removeprefix(PREFIX).split("-") for name in names]
    return np.array([(int(ends[0]), int(ends[-1])) for ends in shells])


def single(n_shells: int) -> np.ndarray:
    """`edges` where every shell is a band: (shells, 2)."""
    return np.arange(n_shells)[:, None].repeat(2, 1)


def mean_shells(edges: np.ndarray) -> np.ndarray:
    """Position of each band, its mean shell: (bands, 2) -> (bands,), integers where every shell is a band."""
    return edges[:, 0] if (edges[:, 0] == edges[:, 1]).all() else edges.mean(1)
