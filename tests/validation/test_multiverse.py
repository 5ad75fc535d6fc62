"""Every combination of choices against Occluded Frequency with those choices."""

import numpy as np
import torch
from validation_cases import BANDS, CHECKS, make_task

from spectroscope.attribution.compare import band_index
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.pipeline import params
from spectroscope.validation.multiverse import MultiverseSettings, multiverse, multiverse_bands


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
