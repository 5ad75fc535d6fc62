"""Fourier heat maps and the single Fourier attack against a slow double loop."""

import math

import numpy as np
import pytest
import torch
from attribution_cases import CLASSES, EXACT, SHAPE, generator, make_task, network, settings

from spectroscope.attribution.heat_map import centred, fourier_heat_map, half_plane, waves
from spectroscope.attribution.registry import attribute


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 9), (1, 5)])
def test_a_wave_has_unit_norm_and_one_frequency(height, width):
    places = half_plane(height, width)
    spectrum = torch.fft.fft2(waves(places, height, width, torch.float64)).abs()
    for (i, j), wave, parts in zip(places.tolist(), waves(places, height, width, torch.float64), spectrum, strict=True):
        assert wave.norm() == pytest.approx(1)
        found = {tuple(place) for place in (parts > 1e-9).nonzero().tolist()}
        assert found == {(i, j), (-i % height, -j % width)}
    seen = {(i, j) for i, j in places.tolist()} | {(-i % height, -j % width) for i, j in places.tolist()}
    assert len(seen) == height * width
    assert len(places) == (height * width + sum(1 for i, j in seen if (-i % height, -j % width) == (i, j))) // 2


@pytest.mark.parametrize(
    ("norm", "value"), [("l2", "error"), ("l2", "loss"), ("l2", "logit"), ("l2", "changed"), ("linf", "logit")]
)
def test_the_heat_map_equals_a_slow_double_loop(norm, value):
    task, eps = make_task(network(), n=5), 0.9
    found = fourier_heat_map(
        task.model,
        task.images,
        task.labels,
        eps=eps,
        norm=norm,
        value=value,
        clip=True,
        generator=generator(9),
        chunk=5,
    )
    _, height, width = SHAPE
    places = half_plane(height, width).tolist()
    signs = 2.0 * torch.randint(0, 2, (len(places), 5, 2), generator=generator(9)).double() - 1
    rows, columns = np.indices((height, width))
    clean = network()(task.images)
    for i in range(height):
        for j in range(width):
            wave = np.cos(2 * np.pi * (i * rows / height + j * columns / width))
            at = places.index([i, j]) if [i, j] in places else places.index([-i % height, -j % width])
            if norm == "l2":
                wave, sign = wave / np.linalg.norm(wave), signs[at].numpy()
            else:
                wave, sign = wave / np.abs(wave).max(), np.ones((5, 2))
            moved = task.images + torch.from_numpy(eps * sign[:, :, None, None] * wave)
            logits = network()(moved.clamp(0, 1))
            expected = {
                "error": (logits.argmax(1) != task.labels).double(),
                "changed": (logits.argmax(1) != clean.argmax(1)).double(),
                "loss": -logits.log_softmax(1).gather(1, task.labels[:, None])[:, 0],
                "logit": (clean - logits).gather(1, task.labels[:, None])[:, 0],
            }[value]
            torch.testing.assert_close(found[:, i, j], expected, **EXACT)


def test_a_heat_map_is_symmetric_with_dc_in_the_centre_and_no_wave_gives_the_clean_error():
    task = make_task(network())
    options = {"norm": "l2", "clip": True, "chunk": 4}
    labels = torch.where(torch.arange(6) < 2, network()(task.images).argmax(1), task.labels)
    network_ = (task.model, task.images, labels)
    found = fourier_heat_map(*network_, eps=0.8, value="loss", generator=generator(), **options)
    assert found.equal(found.flip(1, 2).roll((1, 1), (1, 2)))
    assert centred(found)[:, 3, 5].equal(found[:, 0, 0])
    still = fourier_heat_map(*network_, eps=0.0, value="error", generator=generator(), **options)
    wrong = (network()(task.images).argmax(1) != labels).double()
    assert still.equal(wrong[:, None, None].expand_as(still)) and 0 < wrong.mean() < 1


def test_a_heat_map_finds_the_wave_a_model_reads():
    wave = torch.cos(2 * math.pi * 3 * torch.arange(10).double() / 10).expand(7, 10)
    task = make_task(lambda x: torch.stack([(x * wave).sum((1, 2, 3)).square()] * CLASSES, 1))
    found = attribute(task, settings("heat_map", eps=0.1)).coefficients.abs().mean(0)
    assert {tuple(place) for place in (found > 1e-6).nonzero().tolist()} == {(0, 3), (0, 7)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "rank"}, "expected value error, loss, logit or changed, got 'rank'"),
        ({"norm": "l1"}, "expected norm l2 or linf, got 'l1'"),
    ],
)
def test_an_unknown_value_or_norm_is_refused(change, message):
    task = make_task(network())
    options = {"eps": 1.0, "norm": "l2", "value": "error", "clip": True, "generator": generator(), "chunk": 2}
    with pytest.raises(ValueError, match=message):
        fourier_heat_map(task.model, task.images, task.labels, **options | change)
