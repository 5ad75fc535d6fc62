"""Tables of the probes of a network that fools easily, and of one that nothing fools."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from spectroscope.attribution.masks import image_masks
from spectroscope.probing.counterparts import CounterpartSettings, counterpart_table, counterparts_by_shell
from spectroscope.probing.layer_tables import COLUMNS, LayerSettings
from spectroscope.probing.margins import MarginSettings
from spectroscope.probing.masks import MASKS, MaskSettings, mask_table, masks_by_shell
from spectroscope.probing.shells import shell_means
from spectroscope.probing.tables import ProbingSettings, probe
from spectroscope.statistics.estimates import SUMMARY, StatisticsSettings
from spectroscope.statistics.intervals import bounded_ends

STATISTICS = StatisticsSettings(confidence=0.95, groups=20)
SETTINGS = ProbingSettings(
    margins=MarginSettings(n_images=4, partition="octave", bands=None, steps=3, candidates=2),
    masks=MaskSettings(n_images=6, attack="pgd", penalty=1.0, steps=3, learning_rate=0.05, batch_size=4),
    counterparts=CounterpartSettings(n_images=5, steps=3, learning_rate=0.5, seed=0),
    layers=None,
)


def attacked_network(success: list[int]) -> tuple[nn.Module, torch.Tensor, torch.Tensor, tuple]:
    """A small random network, six images, labels (two of them wrong), and an attack that fooled some for two seeds.

    The perturbations of the two seeds differ.
    """
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = network(x).argmax(1)
    labels[[1, 5]] = (labels[[1, 5]] + 1) % 3
    outcomes = pd.DataFrame({"seed": [0] * 6 + [1] * 6, "image": [*range(6)] * 2, "after": 0})
    outcomes["success"] = outcomes["image"].isin(success)
    return network, x, labels, (torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1)), outcomes)


def tables(success: list[int]) -> dict[str, pd.DataFrame]:
    """Tables of two seeds, whose networks are the same."""
    network, x, labels, attack = attacked_network(success)
    return probe([(0, network), (1, network)], [], x, labels, np.arange(6), attack, SETTINGS, STATISTICS)


def test_masks_have_a_row_for_each_image_which_is_missing_where_there_is_no_mask():
    network, x, labels, (change, outcomes) = attacked_network([0, 3])
    own = change, outcomes[outcomes["seed"] == 1]
    masks = masks_by_shell(network, x, labels, own, 1, SETTINGS.masks)
    assert {name: tuple(values.shape) for name, values in masks.items()} == {
        "network": (1, 8),
        "essential": (6, 8),
        "adversarial": (6, 8),
    }
    missing = {name: values.isnan().any(1).nonzero()[:, 0].tolist() for name, values in masks.items()}
    assert missing == {"network": [], "essential": [1, 5], "adversarial": [1, 2, 4, 5]}
    for values in masks.values():
        assert np.nanmin(values) >= 0 and np.nanmax(values) <= 1


def test_adversarial_masks_are_those_of_each_seeds_own_adversaries():
    network, x, labels, (change, outcomes) = attacked_network([0, 3])
    by_seed = []
    for seed, rows in ((0, [0, 3]), (1, [6, 9])):
        own = change, outcomes[outcomes["seed"] == seed]
        masks = masks_by_shell(network, x, labels, own, seed, SETTINGS.masks)["adversarial"][[0, 3]]
        expected = image_masks(network, x[[0, 3]] + change[rows], torch.tensor([0, 0]), SETTINGS.masks)
        torch.testing.assert_close(masks, shell_means(expected), rtol=0, atol=0)
        by_seed.append(masks)
    assert (by_seed[0] - by_seed[1]).abs().max() > 1e-3
    found = tables([0, 3])["masks"].query("mask == 'adversarial'")["mean"]
    np.testing.assert_allclose(found, torch.cat(by_seed).mean(0), rtol=1e-5)


@pytest.mark.parametrize("success", [[], [0, 3]])
def test_every_probe_has_its_rows_and_its_number_of_images(success):
    found = tables(success)
    assert list(found["margins"]) == ["band", "unreached", *SUMMARY, "cells"]
    assert list(found["masks"]) == ["mask", "over", "shell", *SUMMARY, "cells"]
    assert list(found["counterparts"]) == ["statistic", "shell", *SUMMARY, "cells"]
    assert found["masks"]["mask"].unique().tolist() == list(MASKS)
    n_images = found["masks"].groupby("mask")["n_images"].first()
    assert n_images[list(MASKS)].tolist() == [6, 4, len(success)]
    assert found["masks"].query("mask == 'adversarial'")["mean"].isna().all() == (not success)
    assert found["margins"]["n_images"].unique().tolist() == [3]
    assert found["counterparts"]["n_images"].unique().tolist() == [5]
    assert all((table["n_seeds"] == 2).all() for table in (found["margins"], found["counterparts"]))
    n_seeds = found["masks"].groupby("mask")["n_seeds"].first()
    assert n_seeds[list(MASKS)].tolist() == [2, 2, 2 if success else 0]


def test_layers_are_probed_where_the_study_asks_for_them():
    assert list(tables([0])["layers"]) == [*COLUMNS, *SUMMARY] and tables([0])["layers"].empty
    _, x, labels, attack = attacked_network([0])
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
    layers = LayerSettings(n_images=3, partition="octave", bands=None, seed=0)
    settings = SETTINGS.model_copy(update={"layers": layers})
    two = [(0, network), (1, network)]
    found = probe(two, two, x, labels, np.arange(6), attack, settings, STATISTICS)["layers"]
    assert list(found) == [*COLUMNS, *SUMMARY, "cells"] and found["layer"].unique().tolist() == ["0 Conv2d", "1 ReLU"]
    assert (found["n_images"] == 3).all() and (found["n_seeds"] == 2).all()


def test_the_mean_of_masks_is_that_of_the_images_which_have_one():
    network, x, labels, (change, outcomes) = attacked_network([0])
    masks = masks_by_shell(network, x, labels, (change, outcomes.iloc[:6]), 0, SETTINGS.masks)
    essential = tables([0])["masks"].query("mask == 'essential'")
    np.testing.assert_allclose(essential["mean"], masks["essential"].nanmean(0), rtol=1e-6)


def test_what_remains_is_the_log_of_change_over_control():
    network, x, labels, _ = attacked_network([0])
    table = tables([0])["counterparts"].set_index("statistic")
    change = counterparts_by_shell(network, x, labels, SETTINGS.counterparts)["change"]
    np.testing.assert_allclose(table.loc["change", "mean"], change.mean(0), rtol=1e-5)
    ratio = table.loc["change", "mean"].to_numpy() / table.loc["control", "mean"].to_numpy()
    np.testing.assert_allclose(table.loc["remaining", "mean"], np.log(ratio))  # of two networks that are the same
    assert table.loc["left", "mean"] < 1
    assert table["low"].isna().all()  # of two networks


def test_the_probes_of_one_network_have_intervals_over_images_and_its_mask_has_none():
    network, x, labels, attack = attacked_network([0, 3])
    found = probe([(0, network)], [], x, labels, np.arange(6), attack, SETTINGS, STATISTICS)
    for table in (found["counterparts"], found["masks"].query("mask == 'essential'")):
        assert (table["low"] <= table["mean"]).all() and (table["mean"] <= table["high"]).all()
    assert found["masks"].query("mask == 'network'")["low"].isna().all()


def test_the_interval_of_the_masks_of_networks_is_students_over_networks():
    values = np.random.default_rng(0).uniform(size=(4, 1, 3))
    other = np.full((4, 6, 3), np.nan)
    masks = {"network": values, "essential": other, "adversarial": other}
    table = mask_table(masks, 6, np.arange(6), STATISTICS).query("mask == 'network'")
    spread = values[:, 0].std(0, ddof=1) / 2
    mean, half = values[:, 0].mean(0), stats.t.ppf(0.975, 3) * spread
    expected = bounded_ends(mean, mean - half, mean + half, 0, 1)  # a mask lies between 0 and 1
    np.testing.assert_allclose(table[["low", "high"]].to_numpy().T, expected)
    assert table["over"].unique().tolist() == ["networks"] and (table["n_images"] == 6).all()


def test_what_remains_is_that_of_each_network():
    change = np.stack([np.full((8, 2), 0.1), np.full((8, 2), 0.4)])
    values = {"change": change, "control": np.full((2, 8, 2), 0.4), "left": np.ones((2, 8, 1))}
    table = counterpart_table(values, np.arange(8) % 2, np.arange(8), STATISTICS)
    assert table.query("statistic == 'remaining'")["mean"].tolist() == pytest.approx([np.log(0.25) / 2] * 2)


def test_copies_of_images_in_one_cluster_change_no_interval():
    rng = np.random.default_rng(0)
    shapes = {"change": (3, 12, 2), "control": (3, 12, 2), "left": (3, 12, 1)}
    values = {name: rng.uniform(0.5, 1, shape) for name, shape in shapes.items()}
    twice = {name: np.repeat(of_each, 2, axis=1) for name, of_each in values.items()}
    labels, image = np.arange(12) % 2, np.arange(24)
    once, together, apart = (
        counterpart_table(found, own, clusters, STATISTICS)
        for found, own, clusters in (
            (values, labels, np.arange(12)),
            (twice, np.repeat(labels, 2), image // 2),
            (twice, np.repeat(labels, 2), image),
        )
    )
    columns = ["mean", "low", "high"]
    np.testing.assert_allclose(together[columns], once[columns], rtol=1e-9)
    assert ((apart["high"] - once["high"]).abs() > 1e-3).all()  # as if the copies were new images
