"""Occluded Frequency by shell, image by image: the table."""

import numpy as np
import torch

from spectroscope.attribution.by_shell import table


def test_the_table_has_a_row_for_each_image():
    attribution = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rows = table(attribution, torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), seed=7)
    assert list(rows) == ["seed", "image", "label", "right", "shell_0", "shell_1"]
    assert rows["seed"].tolist() == [7, 7, 7]
    assert rows["image"].tolist() == [0, 1, 2]
    assert rows["label"].tolist() == [2, 0, 1]
    assert rows["right"].tolist() == [True, False, True]
    np.testing.assert_array_equal(rows[["shell_0", "shell_1"]], attribution)
