"""Every method by name: linear models, energies, products of bands, chunks, precision, batches."""

import doctest
import math

import pytest
import torch
from attribution_cases import (
    BANDS,
    CLASSES,
    EXACT,
    METHODS,
    SHAPE,
    SIGNED,
    energies,
    generator,
    linear,
    make_task,
    network,
    random,
    settings,
)

from spectroscope.attribution import gradients, heat_map, occlusion, registry, shapley
from spectroscope.attribution.registry import MethodSettings, attribute
from spectroscope.frequency.partitions import by_band
from spectroscope.frequency.spectrum import analyse
from spectroscope.pipeline import params


@pytest.mark.parametrize("basis", ["dct", "dft"])
@pytest.mark.parametrize("name", SIGNED)
def test_a_linear_model_has_one_attribution_by_every_measure(name, basis):
    task = make_task(linear(), basis)
    weights = random(math.prod(SHAPE), CLASSES, seed=1).T.reshape(CLASSES, *SHAPE)
    product = analyse(task.images, basis).conj() * analyse(weights[task.labels], basis)
    expected = by_band(product.real.sum(1), task.index)
    found = attribute(task, settings(name))
    torch.testing.assert_close(found.values, expected, **EXACT)
    assert found.error.max() < 1e-10


def test_a_sum_of_band_energies_is_taken_apart_by_every_measure():
    index, weight = make_task(linear()).index, random(BANDS, CLASSES, seed=4)
    task = make_task(lambda x: energies(x, index) @ weight)
    expected = energies(task.images, index) * weight.T[task.labels]
    for name in SIGNED:
        factor = 2 if name == "gradient_x_coefficient" else 1  # the derivative of a square
        torch.testing.assert_close(attribute(task, settings(name)).values, factor * expected, **EXACT)


def test_a_product_of_two_bands_is_counted_twice_by_occlusion_and_split_by_shapley():
    index = make_task(linear()).index

    def model(x):
        energy = energies(x, index)
        return (energy[:, 1] * energy[:, 3])[:, None].expand(-1, CLASSES)

    task = make_task(model)
    product, zero = model(task.images)[:, 0], torch.zeros(6, dtype=torch.float64)
    for name, part in {"occluded": 1.0, "shapley": 0.5, "sampled_shapley": 0.5, "kept": 0.0}.items():
        expected = torch.stack([zero, part * product, zero, part * product, zero], 1)
        torch.testing.assert_close(attribute(task, settings(name)).values, expected, **EXACT)
    path = attribute(task, settings("integrated_gradients", steps=100))  # a polynomial of degree 3 along the path
    torch.testing.assert_close(path.values.sum(1), product, rtol=1e-4, atol=0)
    torch.testing.assert_close(path.values[:, 1], product / 2, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_images_in_chunks_are_attributed_as_at_once(name):
    whole, parts = (attribute(make_task(network(), chunk=chunk), settings(name)) for chunk in (64, 4))
    torch.testing.assert_close(parts.values, whole.values, **EXACT)
    torch.testing.assert_close(parts.error, whole.error, **EXACT)


@pytest.mark.parametrize("name", METHODS)
def test_float32_agrees_with_float64(name):
    fine, coarse = (
        attribute(make_task(network(), dtype=dtype), settings(name)).values.double()
        for dtype in (torch.float64, torch.float32)
    )
    assert (coarse - fine).norm() <= 1e-5 * fine.norm()


@pytest.mark.parametrize("name", METHODS)
def test_other_weights_give_another_explanation(name):
    one, other = (attribute(make_task(model), settings(name)).values for model in (network(), linear(8)))
    assert (one - other).abs().max() > 0.01 * one.abs().max()


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name not in ("smooth_grad", "heat_map", "fourier_attack")]
)
def test_an_image_is_attributed_alike_whoever_joins_the_batch(name):
    few, many = (attribute(make_task(network(), n=n), settings(name)).values for n in (4, 6))
    assert few.shape == (4, BANDS)
    images = torch.rand(6, *SHAPE, generator=generator(), dtype=torch.float64)
    assert images[:4].equal(torch.rand(4, *SHAPE, generator=generator(), dtype=torch.float64))
    torch.testing.assert_close(many[:4], few, **EXACT)


def test_every_method_has_settings_and_an_unknown_one_is_refused():
    assert set(registry.METHODS) == set(METHODS)
    for name in METHODS:
        settings(name)
    with pytest.raises(ValueError, match=r"expected a method among occluded, kept, .*, got 'lime'"):
        registry.lookup("lime")
    with pytest.raises(ValueError, match=r"methods.it.method: expected one of 'occluded', .* got 'lime'"):
        params.validate({"method": "lime"}, MethodSettings, "methods.it")


@pytest.mark.parametrize("name", ["learned_mask", "margin"])
def test_what_is_searched_in_the_dct_is_refused_in_another_basis(name):
    with pytest.raises(ValueError, match=rf"attribution\.basis: expected dct for the method {name}, got dft"):
        attribute(make_task(network(), "dft"), settings(name))


@pytest.mark.parametrize("module", [gradients, heat_map, occlusion, shapley])
def test_the_examples_of_the_public_functions_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0 and failed == 0
