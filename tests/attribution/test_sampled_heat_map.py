"""The sampled Fourier heat map against the full one."""

import numpy as np
import pytest
import torch
from attribution_cases import generator, make_task, network
from torch import nn

from spectroscope.attribution import sampled_heat_map as sampled
from spectroscope.attribution.heat_map import fourier_heat_map
from spectroscope.frequency.partitions import equal_width
from spectroscope.statistics.intervals import mean_interval

OPTIONS = {"eps": 3.0, "norm": "l2", "value": "loss", "clip": True}


@pytest.fixture(scope="module")
def case():
    """A small network with random weights and 40 smooth images of 32 x 32 pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 36, 6),
    ).eval()  # fmt: skip
    for layer in model:
        if hasattr(layer, "weight"):
            nn.init.normal_(layer.weight, std=2 / layer.weight[0].numel() ** 0.5)
    images = nn.functional.interpolate(torch.rand(40, 3, 8, 8), size=32, mode="bilinear")
    return model, images, model(images).argmax(1)


def test_ring_averages_of_a_tenth_of_the_waves_lie_in_the_intervals_of_the_full_map(case):
    full = fourier_heat_map(*case, **OPTIONS, generator=generator(1), chunk=512)
    index = equal_width(32, 32, 9, "dft", "radial")
    inside, widths = [], []
    for draw in range(6):
        found = sampled.sampled_heat_map(*case, rings=8, angles=6, **OPTIONS, generator=generator(draw), chunk=512)
        assert 0.05 * 514 < len(found.drawn.ring) <= 0.1 * 514
        for row in found.rings.itertuples():
            mean, low, high = mean_interval(full[:, index == row.ring].double().mean(1).numpy())
            inside.append(low <= row.mean <= high)
            assert row.low - (high - low) < mean < row.high + (high - low)
            widths.append((row.high - row.low) / (high - low))
    assert len(inside) == 6 * 9 and np.mean(inside) >= 0.9
    assert 1 <= np.median(widths) < 2  # the waves that were not drawn widen the interval, and not beyond use


def test_every_wave_gives_the_full_map_and_flat_chunks_the_same_values():
    task = make_task(network(), n=5)
    arguments = (task.model, task.images, task.labels)
    options = {"rings": 3, "angles": 99, "eps": 0.9, "norm": "linf", "value": "logit", "clip": True}
    found = sampled.sampled_heat_map(*arguments, **options, generator=generator(2), chunk=3)
    full = fourier_heat_map(*arguments, eps=0.9, norm="linf", value="logit", clip=True, generator=generator(2))
    torch.testing.assert_close(found.map, full.mean(0))
    assert found.drawn.cell.unique().numel() == int(found.drawn.of.sum()) == len(found.drawn.ring)
    for row in found.rings.itertuples():  # with all waves the interval is that over images
        unique = found.effects[:, found.drawn.ring == row.ring].double().mean(1)
        assert row.waves == row.of and row.mean == pytest.approx(float(unique.mean()))
        assert (row.low, row.high) == pytest.approx(tuple(mean_interval(unique.numpy()))[1:])


def test_a_wave_stands_for_a_cell_of_its_own_ring_and_rings_are_served_in_turn():
    drawn = sampled.draw_waves(24, 40, 5, 4, generator(3))
    index = equal_width(24, 40, 6, "dft", "radial")
    assert drawn.ring[drawn.cell].equal(index)
    i, j = drawn.frequencies.unbind(1)
    assert drawn.cell[i, j].equal(torch.arange(len(drawn.ring)))
    assert drawn.ring.tolist() == [0, 1, 2, 3, 4, 5] + 3 * [1, 2, 3, 4, 5]


def test_the_interval_holds_the_mean_over_all_waves_and_images():
    random, held, drawn = np.random.default_rng(0), [], None
    plane = sampled.draw_waves(16, 16, 2, 99, generator())
    for trial in range(300):
        drawn = sampled.draw_waves(16, 16, 2, 6, generator(trial))
        wave = random.normal(size=(16, 16))  # effects: the wave's own, the image's own, and an interaction
        wave = (wave + wave[-np.arange(16)][:, -np.arange(16)]) / 2**0.5
        i, j = drawn.frequencies.unbind(1)
        effects = wave[i, j] + 0.5 * random.normal(size=(20, 1)) + random.normal(size=(20, len(i)))
        row = sampled.ring_means(drawn, torch.from_numpy(effects)).iloc[2]
        i, j = plane.frequencies[plane.ring == 2].unbind(1)
        held.append(row["low"] <= wave[i, j].mean() <= row["high"])
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rings": 0}, "expected at least 1 ring and 2 angles, got 0 and 4"),
        ({"angles": 1}, "expected at least 1 ring and 2 angles, got 2 and 1"),
        ({"value": "rank"}, "expected value error, loss, logit or changed, got 'rank'"),
        ({"norm": "l1"}, "expected norm l2 or linf, got 'l1'"),
    ],
)
def test_bad_input_is_refused(change, message):
    task = make_task(network())
    with pytest.raises(ValueError, match=message):
        options = OPTIONS | {"rings": 2, "angles": 4} | change
        sampled.sampled_heat_map(task.model, task.images, task.labels, **options, generator=generator())
