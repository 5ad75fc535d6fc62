"""Every combination of choices against Occluded Frequency with those choices."""

from dataclasses import replace

import numpy as np
import torch
from validation_cases import BANDS, CHECKS, SETTINGS, make_task

from spectroscope.attribution.compare import band_index
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.partitions import by_band, mean_power
from spectroscope.pipeline import params
from spectroscope.validation.checks import ValidationSettings
from spectroscope.validation.checks import tables as of_checks
from spectroscope.validation.multiverse import MultiverseSettings, multiverse, multiverse_bands

WAVE = (0.5 * torch.cos(torch.pi * (torch.arange(10) + 0.5) * 7 / 10)).double()  # DCT coefficient 7 alone


def test_every_combination_is_occluded_frequency_with_those_choices():
    task, settings = make_task(), params.validate(CHECKS["multiverse"], MultiverseSettings, "multiverse")
    found, bands = multiverse(task, settings, BANDS), multiverse_bands(task, settings, BANDS)
    choices = ["basis", "shape", "baseline", "score", "clip"]
    assert len(found.drop_duplicates(choices)) == 2 * 3 * 2 * 2 * 2
    images = task.images[:4]
    for key, part in found.groupby(choices):
        basis, shape, baseline, score, clip = key
        index = band_index(images, shape, BANDS, basis)
        options = {
            "basis": basis,
            "score": score,
            "clip": clip,
            "baseline": images.mean(0) if baseline == "mean" else None,
        }
        expected = occluded_frequency(task.model, images, task.labels[:4], index, **options)
        columns = [f"band_{k}" for k in range(int(index.max()) + 1)]
        np.testing.assert_allclose(part[columns], expected, rtol=0, atol=1e-10)
        described = bands[(bands["basis"] == basis) & (bands["shape"] == shape)]
        assert described["size"].tolist() == torch.bincount(index.flatten()).tolist()


def test_bands_of_equal_energy_are_described_as_they_were_partitioned():
    task = make_task()
    task = replace(task, images=torch.cat([task.images[:4], torch.zeros_like(task.images[:2]) + WAVE]))
    changes = {"n_images": 4, "bases": ["dct"], "shapes": ["equal_energy"], "baselines": ["zero"]}
    checks = {"faithfulness": None, "sanity": None, "multiverse": CHECKS["multiverse"] | changes}
    settings = params.validate(checks, ValidationSettings, "validation")
    compared = params.validate(
        SETTINGS | {"compared": SETTINGS["compared"] | {"shape": "equal_energy"}},
        AttributionSettings,
        "attribution",
    )
    found = of_checks(task, {}, compared, settings)
    few, all_images = (band_index(images, "equal_energy", BANDS, "dct") for images in (task.images[:4], task.images))
    assert not few.equal(all_images)  # the compared bands are others
    assert found["multiverse_bands"]["size"].tolist() == torch.bincount(few.flatten()).tolist()
    energy = by_band(mean_power(task.images[:4], "dct").double(), few)
    np.testing.assert_allclose(found["multiverse_bands"]["energy"], energy)
