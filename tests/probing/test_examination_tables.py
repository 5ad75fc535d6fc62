"""Tables of an examination: what stands in them for a network that fools easily, and for one that nothing fools."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.probing.settings import CounterpartSettings, MarginSettings, MaskSettings
from spectroscope.probing.tables import MASKS, counterpart_rows, examine, mask_rows

STATISTICS = StatisticsSettings(confidence=0.95, resamples=100, seed=0)
SETTINGS = (
    MarginSettings(n_images=4, partition="octave", bands=None, steps=3, candidates=2),
    MaskSettings(n_images=6, attack="pgd", penalty=1.0, steps=3, learning_rate=0.05, batch_size=4),
    CounterpartSettings(n_images=5, steps=3, learning_rate=0.5, seed=0),
)


def found(success: list[int]) -> dict[str, np.ndarray]:
    """An examination of a small random network, of whose six images an attack fooled some; two are wrong before."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(6, 1, 8, 8, generator=random)
    labels = network(x).argmax(1)
    labels[[1, 5]] = (labels[[1, 5]] + 1) % 3
    rows = pd.DataFrame({"image": range(6), "after": 0, "success": [image in success for image in range(6)]})
    rows.index = rows.index + 6  # as of a second seed
    change = torch.zeros(12, 1, 8, 8)
    return examine(network, x, labels, change, rows, 1, SETTINGS)


def test_an_examination_has_a_row_for_each_image_and_none_where_there_is_no_value():
    each = found([0, 3])
    shapes = {name: values.shape for name, values in each.items()}
    assert shapes == {
        "margins": (4, 4),
        "network": (1, 8),
        "essential": (6, 8),
        "adversarial": (6, 8),
        "change": (5, 8),
        "control": (5, 8),
        "left": (5, 1),
    }
    missing = {name: np.isnan(values).any(1).nonzero()[0].tolist() for name, values in each.items()}
    assert missing["margins"] == [1]
    assert missing["essential"] == [1, 5]
    assert missing["adversarial"] == [1, 2, 4, 5]
    assert missing["network"] == missing["change"] == missing["control"] == missing["left"] == []
    assert np.nanmin(each["essential"]) >= 0 and np.nanmax(each["essential"]) <= 1


@pytest.mark.parametrize("success", [[], [0, 3]])
def test_masks_are_means_by_shell_and_a_mask_that_no_image_has_is_missing(success):
    each = {name: np.stack([values, values]) for name, values in found(success).items()}
    table = mask_rows(each, 6, STATISTICS)
    assert list(table) == ["mask", "shell", "mean", "low", "high", "n_images", "n_seeds"]
    assert table["mask"].unique().tolist() == list(MASKS)
    n_images = table.groupby("mask")["n_images"].first()
    assert n_images[list(MASKS)].tolist() == [6, 4, len(success)]
    essential = table[table["mask"] == "essential"]
    np.testing.assert_allclose(essential["mean"], np.nanmean(each["essential"], axis=(0, 1)))
    assert table.loc[table["mask"] == "adversarial", "mean"].isna().all() == (not success)


def test_what_remains_is_the_log_of_change_over_control():
    each = {name: np.stack([values, values]) for name, values in found([0]).items()}
    table = counterpart_rows(each, STATISTICS).set_index("statistic")
    ratio = table.loc["change", "mean"].to_numpy() / table.loc["control", "mean"].to_numpy()
    np.testing.assert_allclose(table.loc["remaining", "mean"], np.log(ratio))
    np.testing.assert_allclose(table.loc["change", "mean"], each["change"].mean((0, 1)))
    assert (table["low"] <= table["mean"] + 1e-9).all() and (table["mean"] <= table["high"] + 1e-9).all()
    assert table.loc["left", "mean"] < 1
