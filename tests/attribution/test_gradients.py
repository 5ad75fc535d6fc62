"""Gradients in the spectrum against differences, captum, and the weights of linear models."""

import math

import pytest
import torch
from attribution_cases import (
    BANDS,
    CLASSES,
    EXACT,
    SHAPE,
    linear,
    make_task,
    network,
    random,
    settings,
)

from spectroscope.attribution.gradients import input_gradients, integrated_gradients, sensitivity
from spectroscope.attribution.registry import attribute
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import dct2, idct2
from spectroscope.pipeline import machine


def test_a_gradient_in_the_basis_is_the_change_of_the_score_by_a_coefficient():
    task = make_task(network())
    step = torch.zeros(SHAPE, dtype=torch.float64)
    step[1, 3, 4] = 1e-6
    moved = (network()(task.images + idct2(step)) - network()(task.images - idct2(step))) / 2e-6
    found = dct2(input_gradients(task.model, task.images, task.labels, "logit", 4))[:, 1, 3, 4]
    torch.testing.assert_close(found, moved.gather(1, task.labels[:, None])[:, 0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["gradient", "smooth_grad"])
def test_a_linear_models_sensitivity_is_the_energy_of_its_weights(name):
    task = make_task(linear())
    weights = random(math.prod(SHAPE), CLASSES, seed=1).T.reshape(CLASSES, *SHAPE)
    expected = by_band(dct2(weights).square().sum(1), task.index)[task.labels]
    torch.testing.assert_close(attribute(task, settings(name)).values, expected, **EXACT)


def test_smoothed_gradients_are_the_mean_over_noisy_copies():
    task = make_task(network())
    noise = machine.generator(0, 3)  # the stream of `task.generator("smooth_grad")`
    found = attribute(task, settings("smooth_grad", samples=5, sigma_255=51.0)).coefficients
    gradients = torch.zeros_like(task.images)
    for _ in range(5):
        x = task.images + 0.2 * torch.randn(task.images.shape, generator=noise).double()
        gradients += input_gradients(task.model, x, task.labels, "logit", 99) / 5
    expected = sensitivity(gradients, "dct")
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_integrated_gradients_are_those_of_captum_on_the_coefficients(basis):
    from captum.attr import IntegratedGradients

    task = make_task(network(), basis)
    found, _ = integrated_gradients(
        task.model, task.images, task.labels, basis=basis, baseline=task.images.mean(0), steps=8, chunk=4
    )
    if basis == "dct":
        start = dct2(task.images.mean(0, keepdim=True)).expand_as(task.images)
        spectrum = dct2(task.images)
        by_captum = IntegratedGradients(lambda s: network()(idct2(s)))
    else:  # real and imaginary parts as two inputs
        start = torch.view_as_real(torch.fft.fft2(task.images.mean(0, keepdim=True), norm="ortho")).expand(
            6, -1, -1, -1, -1
        )
        spectrum = torch.view_as_real(torch.fft.fft2(task.images, norm="ortho"))
        by_captum = IntegratedGradients(
            lambda s: network()(torch.fft.ifft2(torch.view_as_complex(s.contiguous()), norm="ortho").real)
        )
    expected = by_captum.attribute(spectrum, start, target=task.labels, n_steps=8, method="riemann_middle")
    expected = expected.sum(1) if basis == "dct" else expected.sum((1, -1))
    torch.testing.assert_close(found, expected, **EXACT)


def completeness(task):
    whole = task.scores(task.logits(torch.tensor([[False] * BANDS, [True] * BANDS]), "zero", False))
    return whole[:, 1] - whole[:, 0]


def test_integrated_gradients_report_how_incomplete_they_are():
    task = make_task(network(), score="margin")
    few, many = (attribute(task, settings("integrated_gradients", steps=steps)) for steps in (2, 60))
    for path in (few, many):
        torch.testing.assert_close(path.error, (path.values.sum(1) - completeness(task)).abs(), **EXACT)
    assert few.error.mean() > 50 * many.error.mean()


def test_integrated_gradients_take_more_steps_for_the_images_that_need_them():
    task = make_task(network(), score="margin")
    allowed = 0.05 * completeness(task).abs()
    options = {"basis": "dct", "score": "margin", "chunk": 4}
    by_steps = {n: integrated_gradients(task.model, task.images, task.labels, steps=n, **options) for n in (2, 4, 8)}
    found = attribute(task, settings("integrated_gradients", steps=2, tolerance=0.05, most_steps=15))
    expected, gap = (each.clone() for each in by_steps[2])
    for steps in (4, 8):  # 16 would be more than most_steps
        rows = gap > allowed
        expected[rows], gap[rows] = (each[rows] for each in by_steps[steps])
        assert 0 < rows.sum() < len(rows)  # some images need more steps, others do not
    torch.testing.assert_close(found.coefficients, expected, **EXACT)
    torch.testing.assert_close(found.error, gap, **EXACT)
    assert found.beyond.tolist() == (gap > allowed).double().tolist()
    enough = attribute(task, settings("integrated_gradients", steps=2, tolerance=0.05, most_steps=2**12))
    assert not enough.beyond.any() and (enough.error <= allowed).all()


def test_fewer_steps_at_most_than_at_first_are_refused():
    with pytest.raises(ValueError, match="expected most_steps >= steps, got 3 and 6"):
        settings("integrated_gradients", most_steps=3)
