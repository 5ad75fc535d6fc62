"""The method `margin` against distances to planes, band by band."""

import math
from dataclasses import replace

import pytest
import torch
from attribution_cases import BANDS, CLASSES, SHAPE, make_task, random, settings

from spectroscope.attribution.registry import attribute
from spectroscope.frequency.spectrum import dct2


def test_the_margin_of_a_linear_model_is_the_distance_to_its_nearest_plane_in_the_band():
    weights = random(math.prod(SHAPE), CLASSES, seed=1)
    task = make_task(lambda x: x.flatten(1) @ weights)
    logits = task.model(task.images)
    task = replace(task, labels=torch.cat([logits[:5].argmax(1), logits[5:].argmin(1)]))
    found = attribute(task, settings("margin")).values
    spectra = dct2(weights.T.reshape(CLASSES, *SHAPE))
    for n in range(5):
        label = int(task.labels[n])
        for band in range(BANDS):
            distances = [
                (logits[n, label] - logits[n, other])
                / ((spectra[label] - spectra[other]) * (task.index == band)).norm()
                for other in range(CLASSES)
                if other != label
            ]
            assert 1 / found[n, band].item() == pytest.approx(min(distances).item(), rel=0.01)
    assert (found[5] == 0).all()  # wrong before
