"""Every measure against models whose answer is known in closed form, slow loops, and captum."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from spectroscope.attribution import gradients, heatmap, methods
from spectroscope.attribution.methods import Task, measure
from spectroscope.attribution.settings import MethodSettings
from spectroscope.attribution.shapley import drawn_orders, growing, sampled_shapley, shapley
from spectroscope.frequency.partitions import by_band, partition
from spectroscope.frequency.spectrum import analyse, dct2, idct2
from spectroscope.pipeline import params

EXACT = {"rtol": 0, "atol": 1e-10}
SHAPE, CLASSES, BANDS = (2, 7, 10), 3, 5
ALL = {
    "occluded": {"baseline": "zero", "channels": "each", "clip": False},
    "kept": {"baseline": "zero", "clip": False},
    "shapley": {"baseline": "zero", "clip": False},
    "sampled_shapley": {"baseline": "zero", "clip": False, "pairs": 4},
    "gradient": {},
    "gradient_x_coefficient": {},
    "integrated_gradients": {"baseline": "zero", "steps": 6},
    "smooth_grad": {"samples": 3, "sigma_255": 10.0},
    "heat_map": {"eps": 0.5, "value": "logit", "clip": False},
    "fourier_attack": {"eps_255": 20.0, "clip": True},
    "learned_mask": {"penalty": 2.0, "steps": 8, "learning_rate": 0.1},
    "margin": {"steps": 20, "candidates": 2},
}
SEARCHED = ("learned_mask", "margin")  # whose path hangs on rounding
UNSIGNED = ("gradient", "smooth_grad", "heat_map", "fourier_attack", *SEARCHED)
SIGNED = [name for name in ALL if name not in UNSIGNED]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def task(model, basis="dct", score="logit", n=6, chunk=4, dtype=torch.float64) -> Task:
    images = torch.rand(n, *SHAPE, generator=generator(), dtype=torch.float64).to(dtype)
    index, waves = (partition(*SHAPE[1:], "linf", BANDS if each == "dct" else 4, each) for each in (basis, "dft"))
    return Task(model, images, torch.arange(n) % CLASSES, basis, index, waves, score, 0, chunk)


def settings(name: str, **change):
    return params.validate({"method": name, **ALL[name], **change}, MethodSettings, "methods.it")


def linear(seed: int = 1):
    weights = random(math.prod(SHAPE), CLASSES, seed=seed)
    return lambda x: x.flatten(1) @ weights.to(x.dtype) + 0.3


def network():
    first, second = random(math.prod(SHAPE), 12, seed=2), random(12, CLASSES, seed=3)
    return lambda x: (x.flatten(1) @ first.to(x.dtype)).tanh() @ second.to(x.dtype)


# Closed forms


@pytest.mark.parametrize("basis", ["dct", "dft"])
@pytest.mark.parametrize("name", SIGNED)
def test_a_linear_model_has_one_attribution_by_every_measure(name, basis):
    given = task(linear(), basis)
    weights = random(math.prod(SHAPE), CLASSES, seed=1).T.reshape(CLASSES, *SHAPE)
    product = analyse(given.images, basis).conj() * analyse(weights[given.labels], basis)
    expected = by_band(product.real.sum(1), given.index)
    found = measure(given, settings(name))
    torch.testing.assert_close(found.values, expected, **EXACT)
    assert found.error.max() < 1e-10


@pytest.mark.parametrize("name", ["gradient", "smooth_grad"])
def test_a_linear_models_sensitivity_is_the_energy_of_its_weights(name):
    given = task(linear())
    weights = random(math.prod(SHAPE), CLASSES, seed=1).T.reshape(CLASSES, *SHAPE)
    expected = by_band(dct2(weights).square().sum(1), given.index)[given.labels]
    torch.testing.assert_close(measure(given, settings(name)).values, expected, **EXACT)


def energies(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return by_band(dct2(x).square().sum(1), index)


def test_a_sum_of_band_energies_is_taken_apart_by_every_measure():
    index, weight = task(linear()).index, random(BANDS, CLASSES, seed=4)
    given = task(lambda x: energies(x, index) @ weight)
    expected = energies(given.images, index) * weight.T[given.labels]
    for name in SIGNED:
        factor = 2 if name == "gradient_x_coefficient" else 1  # the derivative of a square
        torch.testing.assert_close(measure(given, settings(name)).values, factor * expected, **EXACT)


def test_a_product_of_two_bands_is_counted_twice_by_occlusion_and_split_by_shapley():
    index = task(linear()).index

    def model(x):
        energy = energies(x, index)
        return (energy[:, 1] * energy[:, 3])[:, None].expand(-1, CLASSES)

    given = task(model)
    product, zero = model(given.images)[:, 0], torch.zeros(6, dtype=torch.float64)
    for name, part in {"occluded": 1.0, "shapley": 0.5, "sampled_shapley": 0.5, "kept": 0.0}.items():
        expected = torch.stack([zero, part * product, zero, part * product, zero], 1)
        torch.testing.assert_close(measure(given, settings(name)).values, expected, **EXACT)
    path = measure(given, settings("integrated_gradients", steps=100))  # a polynomial of degree 3 along the path
    torch.testing.assert_close(path.values.sum(1), product, rtol=1e-4, atol=0)
    torch.testing.assert_close(path.values[:, 1], product / 2, rtol=1e-4, atol=0)


def test_kept_frequency_is_the_rise_from_the_baseline():
    given = task(network())
    found = measure(given, settings("kept", baseline="mean")).values
    mean = given.images.mean(0)
    for band in range(BANDS):
        alone = idct2(torch.where(given.index == band, dct2(given.images), dct2(mean)))
        rise = network()(alone) - network()(mean[None])
        torch.testing.assert_close(found[:, band], rise.gather(1, given.labels[:, None])[:, 0], **EXACT)


@pytest.mark.parametrize("clip", [False, True])
def test_luminance_alone_is_taken_from_every_channel_alike(clip):
    images = torch.rand(6, 3, 7, 10, generator=generator(), dtype=torch.float64)
    weights = random(210, CLASSES, seed=9)
    given = dataclasses.replace(task(lambda x: (x.flatten(1) @ weights).tanh()), images=images)
    found = measure(given, settings("occluded", channels="luminance", baseline="mean", clip=clip)).values
    for n, image in enumerate(images):
        grey = [sum(w * each[c] for c, w in enumerate((0.299, 0.587, 0.114))) for each in (image, images.mean(0))]
        for band in range(BANDS):
            gone = idct2(torch.where(given.index == band, dct2(grey[0]) - dct2(grey[1]), 0.0))
            without = (image - gone).clamp(0, 1) if clip else image - gone
            whole = image.clamp(0, 1) if clip else image
            drop = (given.model(whole[None]) - given.model(without[None]))[0, given.labels[n]]
            assert found[n, band].item() == pytest.approx(drop.item(), abs=1e-10)
    with pytest.raises(ValueError, match="expected 1 or 3 channels for luminance, got 2"):
        measure(task(network()), settings("occluded", channels="luminance"))


def test_the_margin_of_a_linear_model_is_the_distance_to_its_nearest_plane_in_the_band():
    weights = random(math.prod(SHAPE), CLASSES, seed=1)
    given = task(lambda x: x.flatten(1) @ weights)
    logits = given.model(given.images)
    given = dataclasses.replace(given, labels=torch.cat([logits[:5].argmax(1), logits[5:].argmin(1)]))
    found = measure(given, settings("margin")).values
    spectra = dct2(weights.T.reshape(CLASSES, *SHAPE))
    for n in range(5):
        label = int(given.labels[n])
        for band in range(BANDS):
            distances = [
                (logits[n, label] - logits[n, other])
                / ((spectra[label] - spectra[other]) * (given.index == band)).norm()
                for other in range(CLASSES)
                if other != label
            ]
            assert 1 / found[n, band].item() == pytest.approx(min(distances).item(), rel=0.01)
    assert (found[5] == 0).all()  # wrong before


def test_a_learned_mask_keeps_the_band_that_the_label_is_in():
    index = task(linear()).index
    weights = torch.where(index == 2, random(*SHAPE, seed=3), 0.0)
    given = task(lambda x: torch.stack([(dct2(x) * weights).sum((1, 2, 3)) * sign for sign in (50.0, -50.0, 0)], 1))
    given = dataclasses.replace(given, labels=given.model(given.images).argmax(1))
    found = measure(given, settings("learned_mask", penalty=20.0, steps=40)).values
    assert (found.argmax(1) == 2).all() and found[:, [0, 1, 3, 4]].max() < 0.05


@pytest.mark.parametrize("name", SEARCHED)
def test_what_is_searched_in_the_dct_is_refused_in_another_basis(name):
    with pytest.raises(ValueError, match=rf"attribution\.basis: expected dct for the method {name}, got dft"):
        measure(task(network(), "dft"), settings(name))


# Shapley values


def test_shapley_values_are_the_mean_over_all_orders():
    values = random(3, 2**4)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for order in itertools.permutations(range(4)):
        held = 0
        for band in order:
            expected[:, band] += (values[:, held | 1 << band] - values[:, held]) / math.factorial(4)
            held |= 1 << band
    torch.testing.assert_close(shapley(values), expected, **EXACT)


def test_shapley_values_sum_to_the_whole_and_symmetric_bands_get_the_same():
    values = random(5, 2**6)
    torch.testing.assert_close(shapley(values).sum(1), values[:, -1] - values[:, 0], **EXACT)
    bits = (torch.arange(64)[:, None] >> torch.arange(6)) & 1
    swapped = (bits[:, [1, 0, 2, 3, 4, 5]] * 2 ** torch.arange(6)).sum(1)
    found = shapley(values + values[:, swapped])
    torch.testing.assert_close(found[:, 0], found[:, 1], **EXACT)


def test_sampled_shapley_values_close_in_on_the_exact_ones_within_their_errors():
    values, bands = random(40, 2**6), 6
    orders = drawn_orders(bands, 200, generator(5))
    assert torch.equal(orders[1::2], orders[::2].flip(1))
    bits = (growing(orders) * 2 ** torch.arange(bands)).sum(1)
    found, error = sampled_shapley(values[:, bits], orders)
    torch.testing.assert_close(found.sum(1), values[:, -1] - values[:, 0], **EXACT)
    z = (found - shapley(values)) / error
    assert 0.85 < z.std() < 1.15 and z.abs().max() < 4.5  # n = 240
    assert error.mean() < 0.1


def test_growing_coalitions_by_hand():
    assert growing(torch.tensor([[2, 0, 1]])).int().tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


def test_too_many_bands_for_exact_values_name_the_way_out():
    given = task(linear())
    given = Task(**{**vars(given), "index": partition(7, 10, "diagonal", 11, "dct")})
    with pytest.raises(
        ValueError, match=r"at most 10 bands for exact Shapley values \(2\^B coalitions\), got 11: use sam"
    ):
        measure(given, settings("shapley"))
    assert measure(given, settings("sampled_shapley")).values.shape == (6, 11)
    with pytest.raises(ValueError, match=r"expected the values of 2\^B coalitions, got 5"):
        shapley(random(2, 5))


# Gradients


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_integrated_gradients_are_those_of_captum_on_the_coefficients(basis):
    from captum.attr import IntegratedGradients

    given = task(network(), basis)
    found = gradients.integrated_gradients(
        given.model, given.images, given.labels, "logit", basis=basis, baseline=given.images.mean(0), steps=8, chunk=4
    )[0]
    if basis == "dct":
        start = dct2(given.images.mean(0, keepdim=True)).expand_as(given.images)
        spectrum = dct2(given.images)
        by_captum = IntegratedGradients(lambda s: network()(idct2(s)))
    else:  # real and imaginary parts as two inputs
        start = torch.view_as_real(torch.fft.fft2(given.images.mean(0, keepdim=True), norm="ortho")).expand(
            6, -1, -1, -1, -1
        )
        spectrum = torch.view_as_real(torch.fft.fft2(given.images, norm="ortho"))
        by_captum = IntegratedGradients(
            lambda s: network()(torch.fft.ifft2(torch.view_as_complex(s.contiguous()), norm="ortho").real)
        )
    expected = by_captum.attribute(spectrum, start, target=given.labels, n_steps=8, method="riemann_middle")
    expected = expected.sum(1) if basis == "dct" else expected.sum((1, -1))
    torch.testing.assert_close(found, expected, **EXACT)


def test_integrated_gradients_report_how_incomplete_they_are():
    given = task(network(), score="margin")
    few, many = (measure(given, settings("integrated_gradients", steps=steps)) for steps in (2, 60))
    whole = given.scores(given.logits("zero", False, torch.tensor([[False] * BANDS, [True] * BANDS])))
    change = whole[:, 1] - whole[:, 0]
    for each in (few, many):
        torch.testing.assert_close(each.error, (each.values.sum(1) - change).abs(), **EXACT)
    assert few.error.mean() > 50 * many.error.mean()


def test_a_gradient_in_the_basis_is_the_change_of_the_score_by_a_coefficient():
    given = task(network())
    step = torch.zeros(SHAPE, dtype=torch.float64)
    step[1, 3, 4] = 1e-6
    moved = (network()(given.images + idct2(step)) - network()(given.images - idct2(step))) / 2e-6
    found = dct2(gradients.input_gradients(given.model, given.images, given.labels, "logit", 4))[:, 1, 3, 4]
    torch.testing.assert_close(found, moved.gather(1, given.labels[:, None])[:, 0], rtol=1e-6, atol=1e-8)


def test_smoothed_gradients_are_the_mean_over_noisy_copies():
    given, noise = task(network()), generator(7)
    options = {"samples": 5, "sigma": 0.2, "chunk": 3}
    found = gradients.smoothed_gradients(
        given.model, given.images, given.labels, "logit", generator=generator(7), **options
    )
    expected = torch.zeros_like(found)
    for _ in range(5):
        x = given.images + 0.2 * torch.randn(given.images.shape, generator=noise).double()
        expected += gradients.input_gradients(given.model, x, given.labels, "logit", 99) / 5
    torch.testing.assert_close(found, expected, **EXACT)


# Fourier heat maps


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 7), (6, 9), (1, 5)])
def test_a_wave_has_unit_norm_and_one_frequency(height, width):
    places = heatmap.half_plane(height, width)
    spectrum = torch.fft.fft2(heatmap.waves(places, height, width, torch.float64)).abs()
    for (i, j), wave, parts in zip(
        places.tolist(), heatmap.waves(places, height, width, torch.float64), spectrum, strict=True
    ):
        assert wave.norm() == pytest.approx(1)
        found = {tuple(place) for place in (parts > 1e-9).nonzero().tolist()}
        assert found == {(i, j), (-i % height, -j % width)}
    seen = {(i, j) for i, j in places.tolist()} | {(-i % height, -j % width) for i, j in places.tolist()}
    assert len(seen) == height * width
    assert len(places) == (height * width + sum(1 for i, j in seen if (-i % height, -j % width) == (i, j))) // 2


@pytest.mark.parametrize("value", ["error", "loss", "logit", "changed"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_heat_map_equals_a_slow_double_loop(value, norm):
    given, eps = task(network(), n=5), 0.9
    found = heatmap.fourier_heat_map(
        given.model,
        given.images,
        given.labels,
        eps=eps,
        norm=norm,
        value=value,
        clip=True,
        generator=generator(9),
        chunk=5,
    )
    _, height, width = SHAPE
    places = heatmap.half_plane(height, width).tolist()
    signs = 2.0 * torch.randint(0, 2, (len(places), 5, 2), generator=generator(9)).double() - 1
    rows, columns = np.indices((height, width))
    clean = network()(given.images)
    for i in range(height):
        for j in range(width):
            wave = np.cos(2 * np.pi * (i * rows / height + j * columns / width))
            at = places.index([i, j]) if [i, j] in places else places.index([-i % height, -j % width])
            if norm == "l2":
                wave, sign = wave / np.linalg.norm(wave), signs[at].numpy()
            else:
                wave, sign = wave / np.abs(wave).max(), np.ones((5, 2))
            moved = given.images + torch.from_numpy(eps * sign[:, :, None, None] * wave)
            logits = network()(moved.clamp(0, 1))
            expected = {
                "error": (logits.argmax(1) != given.labels).double(),
                "changed": (logits.argmax(1) != clean.argmax(1)).double(),
                "loss": -logits.log_softmax(1).gather(1, given.labels[:, None])[:, 0],
                "logit": (clean - logits).gather(1, given.labels[:, None])[:, 0],
            }[value]
            torch.testing.assert_close(found[:, i, j], expected, **EXACT)


def test_a_heat_map_is_symmetric_with_dc_in_the_centre_and_no_wave_gives_the_clean_error():
    given = task(network())
    options = {"norm": "l2", "clip": True, "chunk": 4}
    labels = torch.where(torch.arange(6) < 2, network()(given.images).argmax(1), given.labels)
    network_ = (given.model, given.images, labels)
    found = heatmap.fourier_heat_map(*network_, eps=0.8, value="loss", generator=generator(), **options)
    assert found.equal(found.flip(1, 2).roll((1, 1), (1, 2)))
    assert heatmap.centred(found)[:, 3, 5].equal(found[:, 0, 0])
    still = heatmap.fourier_heat_map(*network_, eps=0.0, value="error", generator=generator(), **options)
    wrong = (network()(given.images).argmax(1) != labels).double()
    assert still.equal(wrong[:, None, None].expand_as(still)) and 0 < wrong.mean() < 1


def test_a_heat_map_finds_the_wave_a_model_reads():
    wave = torch.cos(2 * math.pi * 3 * torch.arange(10).double() / 10).expand(7, 10)
    given = task(lambda x: torch.stack([(x * wave).sum((1, 2, 3)).square()] * CLASSES, 1))
    found = measure(given, settings("heat_map", eps=0.1)).coefficients.abs().mean(0)
    assert {tuple(place) for place in (found > 1e-6).nonzero().tolist()} == {(0, 3), (0, 7)}


def test_an_unknown_value_is_refused():
    given = task(network())
    with pytest.raises(ValueError, match="expected value error, loss, logit or changed, got 'rank'"):
        heatmap.fourier_heat_map(
            given.model,
            given.images,
            given.labels,
            eps=1.0,
            norm="l2",
            value="rank",
            clip=True,
            generator=generator(),
            chunk=2,
        )


# All measures


@pytest.mark.parametrize("name", ALL)
def test_images_in_chunks_are_measured_as_at_once(name):
    whole, parts = (measure(task(network(), chunk=chunk), settings(name)) for chunk in (64, 4))
    torch.testing.assert_close(parts.values, whole.values, **EXACT)
    torch.testing.assert_close(parts.error, whole.error, **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_float32_agrees_with_float64(name):
    fine, coarse = (
        measure(task(network(), dtype=dtype), settings(name)).values.double()
        for dtype in (torch.float64, torch.float32)
    )
    assert (coarse - fine).norm() <= 1e-5 * fine.norm()


@pytest.mark.parametrize("name", ALL)
def test_other_weights_give_another_explanation(name):
    one, other = (
        measure(task(model), settings(name, **extra)).values for model, extra in [(network(), {}), (linear(8), {})]
    )
    assert (one - other).abs().max() > 0.01 * one.abs().max()


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("smooth_grad", "heat_map", "fourier_attack")])
def test_an_image_is_measured_alike_whoever_joins_the_batch(name):
    few, many = (measure(task(network(), n=n), settings(name)).values for n in (4, 6))
    assert few.shape == (4, BANDS)
    images = torch.rand(6, *SHAPE, generator=generator(), dtype=torch.float64)
    assert images[:4].equal(torch.rand(4, *SHAPE, generator=generator(), dtype=torch.float64))
    torch.testing.assert_close(many[:4], few, **EXACT)


def test_every_method_has_settings_and_an_unknown_one_is_refused():
    assert set(methods.METHODS) == set(ALL)
    for name in ALL:
        settings(name)
    with pytest.raises(ValueError, match=r"expected a method among occluded, kept, .*, got 'lime'"):
        methods.lookup("lime")
    with pytest.raises(ValueError, match=r"methods.it.method: expected one of 'occluded', .* got 'lime'"):
        params.validate({"method": "lime"}, MethodSettings, "methods.it")
