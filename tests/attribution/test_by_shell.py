"""Occluded Frequency by shell, image by image: its baseline and the table."""

import numpy as np
import pytest
import torch

from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.by_shell import occluded_by_shell, table
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.pipeline import machine
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
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
