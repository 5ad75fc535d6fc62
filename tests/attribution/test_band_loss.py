"""What is lost without whole bands, against a loop written out."""

import numpy as np
import pandas as pd
import pytest
import torch

from spectroscope.attribution.band_loss import CHANGES, band_losses
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.equal_energy import equal_energy, random_orders
from spectroscope.frequency.spectrum import dct2, idct2, shells
from spectroscope.pipeline import passes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from tests.validation_cases import SETTINGS

EDGES = {"low": (1, 3), "middle": (3, 5), "high": (5, 10)}  # of ten shells, from .25 and .5 of their number on


def losses(network, images, labels, folder, seed=3):
    settings = AttributionSettings(**{**SETTINGS, "n_images": 9, "seed": seed})
    return band_losses(network, Images(images, labels, ("a", "b", "c", "d")), settings, 7, Store(folder, {}))


def test_losses_are_those_of_a_loop(images, labels, index, network, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: 4)  # nine images: three batches
    rows = losses(network, images, labels, tmp_path)
    assert list(rows) == ["seed", "image", "label", "band", "change", "right", "right_after", "lost", "energy"]
    assert len(rows) == 9 * len(EDGES) * len(CHANGES) and set(rows["seed"]) == {7}
    spectrum, orders = dct2(images), random_orders(range(9), index.numel(), 3)
    power = spectrum.square().sum(1)
    before = network(images).softmax(1)
    for band, (first, last) in EDGES.items():
        mask = (index >= first) & (index < last)
        gone = {"without": mask.expand_as(power), "only": (~mask & (index > 0)).expand_as(power)}
        gone["equal_energy"] = equal_energy(spectrum, mask, orders, "dct")
        for change, removed in gone.items():
            after = network(idct2(spectrum * ~removed[:, None])).softmax(1)
            own = rows[(rows["band"] == band) & (rows["change"] == change)]
            assert own["image"].tolist() == list(range(9)) and own["label"].tolist() == labels.tolist()
            lost = (before - after)[torch.arange(9), labels]
            np.testing.assert_allclose(own["lost"], lost, rtol=0, atol=1e-10)
            assert own["right"].tolist() == (before.argmax(1) == labels).tolist()
            assert own["right_after"].tolist() == (after.argmax(1) == labels).tolist()
            share = (power * removed).sum((1, 2)) / power[:, index > 0].sum(1)
            np.testing.assert_allclose(own["energy"], share, rtol=1e-10)


def test_the_control_takes_as_much_energy_as_the_band_held_from_the_same_places_in_every_network(
    images, labels, network, tmp_path
):
    smooth = idct2(dct2(images) / (1 + shells(8, 10)) ** 2)
    one, other = (
        losses(model, smooth, labels, tmp_path / name)
        for name, model in {"a": network, "b": lambda x: -network(x)}.items()
    )
    pd.testing.assert_series_equal(one["energy"], other["energy"])
    energy = one.pivot_table(index=["band", "image"], columns="change", values="energy")
    np.testing.assert_allclose(energy["without"] + energy["only"], 1, rtol=1e-10)
    expected = np.minimum(energy["without"], energy["only"])  # the rest may hold less
    assert (energy["equal_energy"] <= expected + 1e-12).all()


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_reads_one_shell_loses_with_its_band_alone(change, images, tmp_path):
    def model(x):  # two logits from shell 6, which is a high one
        return torch.stack([dct2(x)[:, 0, 2, 6], -dct2(x)[:, 0, 2, 6]], 1)

    labels = model(images).argmax(1)
    lost = losses(model, images, labels, tmp_path).query("change == @change").groupby("band")["lost"].mean()
    assert (lost["high"] > 0.01) == (change == "without")
    if change == "without":
        assert abs(lost["low"]) < 1e-12 and abs(lost["middle"]) < 1e-12
    if change == "only":
        assert abs(lost["high"]) < 1e-12 and lost["low"] > 0.01
