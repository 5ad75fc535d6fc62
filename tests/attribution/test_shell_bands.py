"""Bands of shells keep the shells they hold in the names of their columns, and stand at their mean shell."""

import numpy as np
import pytest

from spectroscope.attribution.shell_bands import column_names, edges, mean_shells, single
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import shells


@pytest.mark.parametrize(
    ("bands", "names"),
    [
        (4, ["shell_0", "shell_1-2", "shell_3-4", "shell_5-7"]),
        (8, [f"shell_{k}" for k in range(8)]),
        (None, [f"shell_{k}" for k in range(8)]),
    ],
)
def test_a_column_names_the_shells_of_its_band(bands, names):
    assert column_names(partition(8, 5, "linf", bands, "dct"), shells(8, 5)) == names
    first_and_last = edges(names)
    assert first_and_last[:, 0].tolist() == [0, *(first_and_last[:-1, 1] + 1)[0:]]  # no shell is left out or twice
    assert first_and_last[-1, 1] == 7


def test_a_band_stands_at_its_mean_shell():
    wide = mean_shells(edges(["shell_0", "shell_1-2", "shell_3-6", "shell_7"]))
    assert wide.tolist() == [0, 1.5, 4.5, 7]
    every = mean_shells(single(4))
    assert every.tolist() == [0, 1, 2, 3] and np.issubdtype(every.dtype, np.integer)
