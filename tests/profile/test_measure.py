"""The sampled heat map and the bands of a profile."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from spectroscope.attribution.heat_map import fourier_heat_map
from spectroscope.frequency.partitions import equal_width
from spectroscope.pipeline import machine
from spectroscope.pipeline.memory import BatchSize
from spectroscope.profile import measure, summary
from spectroscope.profile import plan as planning

N = 24


class Wave(torch.nn.Module):
    """Says class 1 where a wave of five cycles along the width is strong."""

    def __init__(self):
        super().__init__()
        self.batch, self.device = BatchSize(64), torch.device("cpu")

    def forward(self, x):
        wave = torch.cos(2 * torch.pi * 5 * torch.arange(32) / 32) / 32 * 2**0.5
        found = (x.mean(1) * wave).sum((1, 2)).abs()
        return torch.stack([found.new_full((len(x),), 1.0), found], 1)


def ready():
    x = 0.5 + 0.05 * torch.randn(N, 3, 32, 32, generator=machine.generator(3))
    return SimpleNamespace(model=Wave(), pixels=x, labels=torch.zeros(N, dtype=torch.int64), logits=Wave()(x))


def plan(waves):
    angles, count = planning._angles(32, 32, 8, waves)
    return planning.Plan(32, N, 0, 10, 8, angles, count, N, 1e-4, 0.0, {})


def told(_):
    pass


@pytest.mark.parametrize(("seconds", "shown"), [(0.0001, 16), (0.11, 5), (2.0, 1)])
def test_of_a_slow_network_few_images_are_timed(seconds, shown):
    own, sizes = ready(), []
    own.model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    own.network, own.seconds = SimpleNamespace(gradient=True), seconds
    planning.plan(own, 60.0)
    assert sizes == [shown] * 4


@pytest.mark.parametrize(("waves", "count", "angles"), [(514, 514, 207), (51, 49, 6), (0, 17, 2)])
def test_the_most_angles_are_planned_that_fit_the_waves(waves, count, angles):
    assert (plan(waves).waves, plan(waves).angles) == (count, angles)


def test_all_waves_give_the_full_map():
    found, table = measure.heat_map(ready(), plan(514), 60.0, told)
    own = ready()
    full = fourier_heat_map(
        own.model, own.pixels, own.labels, eps=4.0, norm="l2", value="error", clip=True, generator=machine.generator(9)
    ).mean(0)
    hurt = {(int(i) - 16, int(j) - 16) for i, j in np.argwhere(found > 0.1)}
    assert hurt == {(0, 5), (0, -5)} and float(full[0, 5]) == pytest.approx(found[16, 21], abs=0.3)
    assert table["waves"].tolist() == table["of"].tolist() and table["waves"].sum() == 514
    assert table.loc[table["mean"].idxmax(), "ring"] == 3  # 4 to 6 cycles


def test_a_heat_map_that_is_cut_short_has_two_waves_and_an_interval_in_each_ring():
    found, table = measure.heat_map(ready(), plan(514), 0.0, told)
    assert table["ring"].tolist() == list(range(9)) and table["waves"].min() == 1 and (table["waves"][1:] >= 2).all()
    assert table["waves"].sum() < 40 and np.isfinite(found).all()


def test_an_interval_of_few_waves_ends_where_accuracy_does(monkeypatch):
    own = measure.ring_means
    monkeypatch.setattr(measure, "ring_means", lambda *given: own(*given).assign(low=-1.29, high=2.09))
    _, table = measure.heat_map(ready(), plan(0), 60.0, told)
    assert (table["low"] == -1).all() and (table["high"] == 1).all()


def test_bands_of_reliance_are_of_equal_width_in_cycles():
    own = ready()
    table = measure.reliance(own, replace(plan(51), bands=8), 60.0, told)["reliance"]
    rows = table[table["statistic"] == "margin"].set_index("band")
    assert rows.index.tolist() == ["0", "1-4", "5-9", "10-13", "14-18", "19-22", "23-27", "28-31"]
    index = equal_width(32, 32, 8, "dct")
    assert [int(index[0, first]) for first in rows["first"]] == list(range(8))


def test_the_worst_waves_are_told_without_an_interval_where_there_is_none():
    rows = {"ring": [0, 1, 2], "cycles": [0.0, 1.2, 3.4], "mean": [0.9, 0.1, 0.3], "low": np.nan, "high": np.nan}
    own = SimpleNamespace(tables={"heat_map": pd.DataFrame(rows)}, ready=SimpleNamespace(labelled=True))
    text = "Of single waves, those of about 3 cycles per image cost most, in points of accuracy: 30."
    assert summary._about_waves(own) == text
