"""Occluded Frequency by shell, image by image: its baseline and the table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.by_shell import occluded_by_shell, table
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline import checkpoint, machine
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.params import read, validate
from tests.validation_cases import SETTINGS


@pytest.mark.parametrize("kind", ["zero", "mean", "noise"])
def test_every_batch_has_the_baseline_of_its_images(kind, images, labels, index, network, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "forward_batch_size", lambda: 4)  # nine images: three batches
    settings = AttributionSettings(**{**SETTINGS, "n_images": 9, "baseline": kind})
    test = Images(images, labels, ("a", "b", "c", "d"))
    rows = occluded_by_shell(network, test, settings, 7, Store(tmp_path, {}))
    replacement = baseline(kind, images, index, "dct", machine.generator(0))
    expected = occluded_frequency(network, images, labels, index, baseline=replacement)
    np.testing.assert_allclose(rows.filter(like="shell_"), expected, rtol=1e-9, atol=1e-12)
    assert rows["right"].tolist() == (network(images).argmax(1) == labels).tolist()


def test_the_table_has_a_row_for_each_image():
    attribution = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rows = table(attribution, torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), seed=7)
    assert list(rows) == ["seed", "image", "label", "right", "shell_0", "shell_1"]
    assert rows["seed"].tolist() == [7, 7, 7]
    assert rows["image"].tolist() == [0, 1, 2]
    assert rows["label"].tolist() == [2, 0, 1]
    assert rows["right"].tolist() == [True, False, True]
    np.testing.assert_array_equal(rows[["shell_0", "shell_1"]], attribution)


def test_random_baselines_are_drawn_from_the_seed_of_the_settings_and_not_from_that_of_the_network(tmp_path):
    values = read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["attribution"]
    test = Images(torch.rand(5, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 2, ("a", "b"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))

    def drops(kind, seed, network_seed=0):
        settings = validate(values | {"baseline": kind, "seed": seed}, AttributionSettings, "attribution")
        with checkpoint.open_store(f"{kind}{seed}{network_seed}", folder=str(tmp_path)) as store:
            return occluded_by_shell(network, test, settings, network_seed, store).filter(like="shell_").to_numpy()

    for kind in ("noise", "other"):
        np.testing.assert_array_equal(drops(kind, 1), drops(kind, 1, network_seed=2))
        assert (drops(kind, 0) != drops(kind, 1)).any()
    np.testing.assert_array_equal(drops("zero", 0), drops("zero", 1))
