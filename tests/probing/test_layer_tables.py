"""The table of layers against convolutions whose spectrum is known, over several networks and groups of images."""

import numpy as np
import pytest
import torch
from torch import nn

from spectroscope.frequency.partitions import by_band, partition
from spectroscope.frequency.spectrum import dct2
from spectroscope.probing.layer_tables import LayerSettings, layer_table, layers_by_band
from spectroscope.probing.shells import bands_of
from spectroscope.statistics.estimates import StatisticsSettings, group_names, image_groups

N, SIZE = 12, 16
STATISTICS = StatisticsSettings(confidence=0.95, groups=5)
LABELS, CLUSTERS = np.arange(N) % 3, np.arange(N) // 2 + 100  # six clusters of two images
OCTAVES = LayerSettings(n_images=N, partition="octave", bands=None, seed=0)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGES = rand(N, 1, SIZE, SIZE)


class Ends(nn.Module):
    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True)


def smoothing(side):
    """[side, 1 - 2 side, side] in both directions, mirrored at the edges: in the DCT it multiplies by `gain`."""
    layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate").double()
    kernel = torch.tensor([side, 1 - 2 * side, side], dtype=torch.float64)
    layer.weight.data, layer.bias.data = (kernel[:, None] * kernel)[None, None], torch.tensor([2.0]).double()
    return nn.Sequential(layer, nn.AvgPool2d(2), Ends())


def gain(side):
    k = torch.arange(SIZE).double()
    one = 1 - 2 * side + 2 * side * torch.cos(np.pi * k / SIZE)
    return one[:, None] * one


def table(networks, images=IMAGES, labels=LABELS, clusters=CLUSTERS, settings=OCTAVES):
    found = [layers_by_band(network, images, seed, settings) for seed, network in enumerate(networks)]
    return layer_table(found, images, labels, clusters, settings, STATISTICS)


def of(found, layer, network="network", statistic="passed"):
    chosen = (
        (found["layer"].str.split(" ").str[0] == layer)
        & (found["network"] == network)
        & (found["statistic"] == statistic)
    )
    return found[chosen]


def test_a_smoothing_layer_has_the_gain_of_its_kernel_averaged_over_networks():
    sides = (0.25, 0.1, 0.0)  # the last one copies the image
    found = table([smoothing(side) for side in sides])
    index = partition(SIZE, SIZE, "octave", None, "dct")
    power = dct2(IMAGES).square().sum(1)
    size = torch.bincount(index.flatten())[1:]

    def share(power):
        bands = by_band(power, index)[:, 1:]
        return bands / bands.sum(1, keepdim=True)

    passed, relative = [], []
    for side in sides:
        after = power * gain(side).square()
        passed.append((share(after).mean(0) / share(power).mean(0)).numpy())
        relative.append(((share(after) / size).mean(0) / (share(power) / size).mean(0)).numpy())
    for statistic, values in (("passed", passed), ("relative", relative)):
        rows = of(found, "0", statistic=statistic)
        np.testing.assert_allclose(rows["mean"], np.mean(values, axis=0), rtol=1e-6)
        assert rows["band"].tolist() == [1, 2, 3, 4]
        own = rows["networks"].str.split(expand=True).astype(float).to_numpy().T
        np.testing.assert_allclose(own, values, rtol=1e-3)
        assert (rows["low"] <= rows["mean"]).all() and (rows["mean"] <= rows["high"]).all()
        assert (rows["n_seeds"] == 3).all() and (rows["n_images"] == N).all()
    np.testing.assert_allclose(passed[2], 1)
    shell = np.arange(SIZE)  # of 2 shell + 1 coefficients and shell / 2 cycles
    cycles = [np.average(shell[k : 2 * k] / 2, weights=2 * shell[k : 2 * k] + 1) for k in (1, 2, 4, 8)]
    np.testing.assert_allclose(of(found, "0")["cycles"], cycles)


def test_a_layer_is_named_so_that_no_table_reads_it_as_a_number():
    assert table([smoothing(0.1)])["layer"].unique().tolist() == ["0 Conv2d", "1 AvgPool2d"]


def test_a_band_above_the_grid_of_a_layer_has_no_density_there():
    found = table([smoothing(0.1)])
    assert of(found, "1", statistic="relative")["band"].tolist() == [1, 2, 3]  # 8 pixels hold shells 0 to 7
    assert of(found, "1", statistic="passed")["band"].tolist() == [1, 2, 3, 4]


def test_intervals_of_one_network_are_over_groups_of_whole_clusters():
    found = table([smoothing(0.25)])
    names = group_names(image_groups(CLUSTERS, LABELS, 5), CLUSTERS)
    for cell in found["cells"]:
        assert np.array_equal(cell.groups, names) and cell.bounds == (0, np.inf)
    assert (of(found, "0")["low"] < of(found, "0")["high"]).all()
    assert table([smoothing(0.25)] * 2)["low"].isna().all()  # of two networks
    assert table([smoothing(0.25)], clusters=np.zeros(N, int))["low"].isna().all()  # of one cluster


def test_pixels_are_shuffled_alike_for_all_networks_and_weights_by_each_networks_seed():
    rows = table([smoothing(0.25)] * 3)
    for network, alike in (("network", True), ("shuffled pixels", True), ("random weights", False)):
        values = of(rows, "0", network)["networks"].str.split(expand=True)
        assert (values.nunique(axis=1) == 1).all() == alike
    other = table([smoothing(0.25)], settings=OCTAVES.model_copy(update={"seed": 1}))
    assert of(rows, "0")["mean"].to_numpy() == pytest.approx(of(other, "0")["mean"].to_numpy())
    first, second = (of(each, "0", "shuffled pixels")["mean"].to_numpy() for each in (rows, other))
    assert np.abs(first - second).max() > 1e-3


def test_a_layer_that_is_constant_counts_for_no_network_in_which_it_is():
    dead = smoothing(0.25)
    dead[0].weight.data.zero_()
    rows = of(table([smoothing(0.25), dead, smoothing(0.25)]), "0")
    alone = of(table([smoothing(0.25)]), "0")
    assert (rows["n_seeds"] == 2).all()
    np.testing.assert_allclose(rows["mean"], alone["mean"], rtol=1e-12)


def test_bands_of_equal_energy_are_those_of_the_images():
    found = bands_of(IMAGES, "equal_energy", 4)
    energy = by_band(dct2(IMAGES).square().sum((0, 1)), found)
    assert len(energy) == 4 and energy[1:].max() < 1.2 * energy[1:].min()
