"""Occluded and kept frequency against models whose attribution is known, captum, and computations by hand."""

import math
from dataclasses import replace

import pytest
import torch
from attribution_cases import BANDS, EXACT, generator, make_task, random, settings
from attribution_cases import network as tanh_network

from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.registry import attribute
from spectroscope.frequency.spectrum import dct2, idct2, shells

CLASSES = 4  # of the images in conftest.py; those of `make_task` have 3


def linear(seed: int = 3):
    weights = random(240, CLASSES, seed=seed)
    return lambda x: x.flatten(1) @ weights + 0.7


def removed(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The image without the coefficients of a mask, written without `occluded_frequency`'s own subtraction."""
    return idct2(dct2(x).masked_fill(mask, 0))


@pytest.mark.parametrize(("u", "v"), [(0, 0), (0, 3), (5, 2), (7, 9)])
def test_a_model_that_reads_one_coefficient_is_attributed_its_shell_only(images, labels, index, u, v):
    def model(x):
        return dct2(x)[:, 1, u, v, None].expand(-1, CLASSES)

    expected = torch.zeros(len(images), 10, dtype=torch.float64)
    expected[:, max(u, v)] = dct2(images)[:, 1, u, v]
    torch.testing.assert_close(occluded_frequency(model, images, labels, index), expected, **EXACT)


def test_the_attributions_of_a_linear_model_sum_to_its_change_from_black(images, labels, index):
    model = linear()
    whole = (model(images) - model(torch.zeros_like(images))).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(occluded_frequency(model, images, labels, index).sum(1), whole, **EXACT)


def test_a_model_that_sums_energy_is_attributed_the_energy_of_each_band(images, labels, index):
    def model(x):
        return x.square().sum((1, 2, 3))[:, None] * torch.arange(1.0, CLASSES + 1).double()

    power = dct2(images).square().sum(1)
    energy = torch.stack([(power * (index == shell)).sum((1, 2)) for shell in range(10)], 1)
    expected = energy * (labels[:, None] + 1)
    torch.testing.assert_close(occluded_frequency(model, images, labels, index), expected, **EXACT)


def test_captum_ablating_the_coefficients_finds_the_same(images, labels, index, network):
    from captum.attr import FeatureAblation

    ablation = FeatureAblation(lambda spectrum: network(idct2(spectrum)))
    feature_mask = index.expand(1, 3, 8, 10)
    by_captum = ablation.attribute(dct2(images), target=labels, feature_mask=feature_mask)  # (N, C, H, W)
    first = torch.tensor([(index == shell).flatten().nonzero()[0].item() for shell in range(10)])
    expected = by_captum[:, 0].flatten(1)[:, first]
    torch.testing.assert_close(occluded_frequency(network, images, labels, index), expected, **EXACT)


def test_of_is_the_score_less_that_of_the_image_without_the_band(images, labels, index, network):
    attribution = occluded_frequency(network, images, labels, index)
    for n, label in enumerate(labels):
        for shell in (0, 1, 9):
            image = images[n : n + 1]
            expected = network(image)[0, label] - network(removed(image, index == shell))[0, label]
            torch.testing.assert_close(attribution[n, shell], expected, **EXACT)


def test_weights_that_were_not_trained_give_another_explanation(images, labels, index, network):
    one, other = (occluded_frequency(model, images, labels, index) for model in (network, linear(8)))
    assert (one - other).abs().median() > 0.1


def test_the_dft_basis_removes_a_coefficient_with_its_mirror(images, labels):
    index = shells(8, 10, basis="dft")
    rows, columns = torch.arange(8).double()[:, None], torch.arange(10).double()
    wave = torch.cos(2 * math.pi * (2 * rows / 8 - 3 * columns / 10))  # u = 2 and its mirror 6; v = 7 and its mirror 3

    def model(x):
        return (x[:, 0] * wave).sum((1, 2))[:, None].expand(-1, CLASSES)

    attribution = occluded_frequency(model, images, labels, index, basis="dft")
    expected = torch.zeros(len(images), 6, dtype=torch.float64)
    expected[:, 3] = model(images)[:, 0]
    torch.testing.assert_close(attribution, expected, **EXACT)


def test_the_dft_basis_gives_the_model_real_images(images, labels, network):
    index = shells(8, 10, "radial", "dft")
    attribution = occluded_frequency(network, images, labels, index, basis="dft")
    for shell in range(int(index.max()) + 1):
        occluded = torch.fft.ifft2(torch.fft.fft2(images) * (index != shell))
        assert occluded.imag.abs().max() < 1e-12
        expected = (network(images) - network(occluded.real)).gather(1, labels[:, None])[:, 0]
        torch.testing.assert_close(attribution[:, shell], expected, **EXACT)


def test_a_baseline_image_lends_its_coefficients(images, labels, index, network):
    mean = images.mean(0)
    attribution = occluded_frequency(network, images, labels, index, baseline=mean)
    for shell in range(10):
        replaced = idct2(torch.where(index == shell, dct2(mean), dct2(images)))
        expected = (network(images) - network(replaced)).gather(1, labels[:, None])[:, 0]
        torch.testing.assert_close(attribution[:, shell], expected, **EXACT)


def test_the_baseline_itself_is_attributed_nothing(images, labels, index, network):
    attribution = occluded_frequency(network, images[:1], labels[:1], index, baseline=images[0])
    torch.testing.assert_close(attribution, torch.zeros(1, 10, dtype=torch.float64), **EXACT)


def test_each_image_may_have_a_baseline_of_its_own(images, labels, index, network):
    others = images.flip(0)
    attribution = occluded_frequency(network, images, labels, index, baseline=others, chunk=4)
    alone = [
        occluded_frequency(network, images[n : n + 1], labels[n : n + 1], index, baseline=others[n]) for n in range(9)
    ]
    torch.testing.assert_close(attribution, torch.cat(alone), **EXACT)


def test_clip_returns_occluded_images_to_the_unit_range(images, labels, index, network):
    attribution = occluded_frequency(network, images, labels, index, clip=True)
    occluded = removed(images, index == 0)
    assert (occluded < 0).any()
    expected = (network(images) - network(occluded.clamp(0, 1))).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(attribution[:, 0], expected, **EXACT)


@pytest.mark.parametrize("chunk", [1, 7])
def test_images_in_chunks_are_attributed_what_they_are_at_once(images, labels, index, network, chunk):
    at_once = occluded_frequency(network, images, labels, index, chunk=64)
    torch.testing.assert_close(occluded_frequency(network, images, labels, index, chunk=chunk), at_once, **EXACT)


def test_one_image_is_attributed_what_it_is_in_a_batch(images, labels, index, network):
    in_batch = occluded_frequency(network, images, labels, index)
    torch.testing.assert_close(occluded_frequency(network, images[4:5], labels[4:5], index), in_batch[4:5], **EXACT)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_the_attribution_has_the_dtype_of_the_images(images, labels, index, network, dtype, tolerance):
    x = images.to(dtype)
    attribution = occluded_frequency(lambda x: network(x.double()).to(dtype), x, labels, index)
    assert attribution.dtype == dtype
    torch.testing.assert_close(
        attribution.double(), occluded_frequency(network, images, labels, index), rtol=0, atol=tolerance
    )


def test_inputs_stay_as_they_were_and_no_graph_is_kept(images, labels, index):
    before, weights = images.clone(), torch.ones(240, CLASSES, dtype=torch.float64, requires_grad=True)
    attribution = occluded_frequency(lambda x: x.flatten(1) @ weights, images, labels, index)
    assert not attribution.requires_grad
    torch.testing.assert_close(images, before, rtol=0, atol=0)


@pytest.mark.parametrize("clip", [False, True])
def test_luminance_alone_is_taken_from_every_channel_alike(clip):
    images = torch.rand(6, 3, 7, 10, generator=generator(), dtype=torch.float64)
    weights = random(210, 3, seed=9)
    task = replace(make_task(lambda x: (x.flatten(1) @ weights).tanh()), images=images)
    drops = attribute(task, settings("occluded", channels="luminance", baseline="mean", clip=clip)).values
    for n, image in enumerate(images):
        grey = [sum(w * x[c] for c, w in enumerate((0.299, 0.587, 0.114))) for x in (image, images.mean(0))]
        for band in range(BANDS):
            gone = idct2(torch.where(task.index == band, dct2(grey[0]) - dct2(grey[1]), 0.0))
            without = (image - gone).clamp(0, 1) if clip else image - gone
            whole = image.clamp(0, 1) if clip else image
            drop = (task.model(whole[None]) - task.model(without[None]))[0, task.labels[n]]
            assert drops[n, band].item() == pytest.approx(drop.item(), abs=1e-10)
    with pytest.raises(ValueError, match="expected 1 or 3 channels for luminance, got 2"):
        attribute(make_task(tanh_network()), settings("occluded", channels="luminance"))


def test_kept_frequency_is_the_rise_from_the_baseline():
    task = make_task(tanh_network())
    kept = attribute(task, settings("kept", baseline="mean")).values
    mean = task.images.mean(0)
    for band in range(BANDS):
        alone = idct2(torch.where(task.index == band, dct2(task.images), dct2(mean)))
        rise = task.model(alone) - task.model(mean[None])
        torch.testing.assert_close(kept[:, band], rise.gather(1, task.labels[:, None])[:, 0], **EXACT)
