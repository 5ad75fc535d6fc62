"""Occluded Frequency against models whose attribution is known, captum, and the numbers of Wang et al.'s Fig. 1."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.occlusion import (
    all_but_one,
    coalition_logits,
    every_coalition,
    low_pass,
    occluded_frequency,
    one_alone,
    table,
)
from spectroscope.attribution.scores import score
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.summaries import centroid, hf_share, missing_shares, sums
from spectroscope.frequency.partitions import by_band, partition
from spectroscope.frequency.spectrum import analyse, dct2, idct2, shells, synthesise
from spectroscope.pipeline.params import read, validate

EXACT = {"rtol": 0, "atol": 1e-10}
SHAPE = (3, 8, 10)
CLASSES = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images():
    return torch.rand(9, *SHAPE, generator=generator(), dtype=torch.float64)


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 3, 3, 1, 2])


@pytest.fixture(scope="module")
def index():
    return shells(*SHAPE[1:])


@pytest.fixture(scope="module")
def network():
    """Two dense layers with a kink between them: nothing about it is linear."""
    first = torch.randn(math.prod(SHAPE), 16, generator=generator(1), dtype=torch.float64)
    second = torch.randn(16, CLASSES, generator=generator(2), dtype=torch.float64)
    return lambda x: (x.flatten(1) @ first).relu() @ second


def linear(seed: int = 3, offset: float = 0.7):
    weights = torch.randn(math.prod(SHAPE), CLASSES, generator=generator(seed), dtype=torch.float64)
    return lambda x: x.flatten(1) @ weights + offset


def removed(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The image without the coefficients of a mask, written without `occluded_frequency`'s own subtraction."""
    return idct2(dct2(x).masked_fill(mask, 0))


# What a model reads is what it is attributed


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
    feature_mask = index.expand(1, *SHAPE)
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


# Options


def test_the_dft_basis_removes_a_coefficient_with_its_mirror(images, labels):
    index = shells(*SHAPE[1:], basis="dft")
    rows, columns = torch.arange(8).double()[:, None], torch.arange(10).double()
    wave = torch.cos(2 * math.pi * (2 * rows / 8 - 3 * columns / 10))  # u = 2 and its mirror 6; v = 7 and its mirror 3

    def model(x):
        return (x[:, 0] * wave).sum((1, 2))[:, None].expand(-1, CLASSES)

    attribution = occluded_frequency(model, images, labels, index, basis="dft")
    expected = torch.zeros(len(images), 6, dtype=torch.float64)
    expected[:, 3] = model(images)[:, 0]
    torch.testing.assert_close(attribution, expected, **EXACT)


def test_the_dft_basis_gives_the_model_real_images(images, labels, network):
    index = shells(*SHAPE[1:], "radial", "dft")
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


def test_scores_are_those_computed_by_hand():
    logits = torch.tensor([[-5.0, -1.0, -3.0], [2.0, 0.5, 1.0]], dtype=torch.float64)
    images, index = torch.ones(2, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.int64)
    labels = torch.tensor([1, 2])

    def model(x):
        return logits * x.flatten(1)  # all logits are 0 once the only coefficient is gone

    at_zero = {"logit": 0.0, "margin": 0.0, "log_probability": -math.log(3), "softmax": 1 / 3}
    by_hand = {
        "logit": (-1.0, 1.0),
        "margin": (2.0, -1.0),
        "log_probability": (
            -1 - math.log(math.exp(-5) + math.exp(-1) + math.exp(-3)),
            1 - math.log(math.exp(2) + math.exp(0.5) + math.exp(1)),
        ),
        "softmax": (
            math.exp(-1) / (math.exp(-5) + math.exp(-1) + math.exp(-3)),
            math.exp(1) / (math.exp(2) + math.exp(0.5) + math.exp(1)),
        ),
    }
    for kind, values in by_hand.items():
        attribution = occluded_frequency(model, images, labels, index, score=kind)
        expected = torch.tensor(values, dtype=torch.float64)[:, None] - at_zero[kind]
        torch.testing.assert_close(attribution, expected, **EXACT)


def test_clip_returns_occluded_images_to_the_unit_range(images, labels, index, network):
    attribution = occluded_frequency(network, images, labels, index, clip=True)
    occluded = removed(images, index == 0)
    assert (occluded < 0).any()
    expected = (network(images) - network(occluded.clamp(0, 1))).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(attribution[:, 0], expected, **EXACT)


@pytest.mark.parametrize("chunk", [1, 7, 9])
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
    before, weights = images.clone(), torch.ones(math.prod(SHAPE), CLASSES, dtype=torch.float64, requires_grad=True)
    attribution = occluded_frequency(lambda x: x.flatten(1) @ weights, images, labels, index)
    assert not attribution.requires_grad
    torch.testing.assert_close(images, before, rtol=0, atol=0)


# Baselines and coalitions


def test_each_image_may_have_a_baseline_of_its_own(images, labels, index, network):
    others = images.flip(0)
    attribution = occluded_frequency(network, images, labels, index, baseline=others, chunk=4)
    alone = [
        occluded_frequency(network, images[n : n + 1], labels[n : n + 1], index, baseline=others[n]) for n in range(9)
    ]
    torch.testing.assert_close(attribution, torch.cat(alone), **EXACT)


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_noise_has_the_energy_of_each_band_of_each_image(images, basis):
    index = shells(*SHAPE[1:], "linf", basis)
    noise = baseline("noise", images, index, basis, generator(4))
    own, drawn = (by_band(analyse(x, basis).abs().square(), index) for x in (images, noise))
    torch.testing.assert_close(drawn, own, **EXACT)
    assert (noise - images).abs().mean() > 0.1


def test_another_image_is_never_the_image_itself(images, index):
    for seed in range(20):
        other = baseline("other", images, index, "dct", generator(seed))
        partner = [next(k for k in range(9) if images[k].equal(each)) for each in other]
        assert sorted(partner) == list(range(9))
        assert all(n != k for n, k in enumerate(partner))


def test_zero_and_mean_baselines(images, index):
    assert baseline("zero", images, index, "dct", generator()) is None
    torch.testing.assert_close(baseline("mean", images, index, "dct", generator()), images.mean(0), **EXACT)
    with pytest.raises(ValueError, match="expected at least two images for the baseline other, got 1"):
        baseline("other", images[:1], index, "dct", generator())
    with pytest.raises(ValueError, match="expected baseline zero, mean, noise or other, got 'blur'"):
        baseline("blur", images, index, "dct", generator())


@pytest.mark.parametrize("given", [None, "other"])
@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_a_coalition_is_the_image_in_its_bands_and_the_baseline_elsewhere(images, network, basis, given):
    index = partition(*SHAPE[1:], "linf", 4, basis)
    other = None if given is None else images.flip(0)
    rows = every_coalition(4)
    options = {"basis": basis, "baseline": other, "clip": True}
    logits = coalition_logits(network, images, index, rows, **options, chunk=4)
    assert logits.shape == (9, 16, CLASSES)
    for m, row in enumerate(rows):
        kept = row[index]
        rest = torch.zeros_like(images) if other is None else other
        mixed = synthesise(torch.where(kept, analyse(images, basis), analyse(rest, basis)), basis).clamp(0, 1)
        torch.testing.assert_close(logits[:, m], network(mixed), **EXACT)


def test_all_but_one_band_gives_occluded_frequency(images, labels, network):
    index = partition(*SHAPE[1:], "linf", 4, "dct")
    logits = coalition_logits(network, images, index, all_but_one(4), basis="dct", baseline=None, clip=False, chunk=64)
    scores = score(logits, labels[:, None].expand(-1, 5), "margin")
    expected = occluded_frequency(network, images, labels, index, score="margin")
    torch.testing.assert_close(scores[:, :1] - scores[:, 1:], expected, **EXACT)


def test_coalitions_by_hand():
    assert every_coalition(2).int().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert all_but_one(2).int().tolist() == [[1, 1], [0, 1], [1, 0]]
    assert one_alone(2).int().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert low_pass(2).int().tolist() == [[0, 0], [1, 0], [1, 1]]


def test_coalitions_of_another_number_of_bands_are_refused(images, index, network):
    with pytest.raises(ValueError, match=r"expected coalitions \(M, 10\), got \(4, 2\)"):
        coalition_logits(network, images, index, every_coalition(2), basis="dct", baseline=None, clip=False, chunk=8)


def test_a_model_that_returns_probabilities_is_warned_of(images, labels, index):
    with pytest.warns(UserWarning, match="expected logits, got probabilities"):
        occluded_frequency(lambda x: linear()(x).softmax(1), images, labels, index)


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.ones(9, 8, 10)}, r"expected float images \(N, C, H, W\), got torch.float32 \(9, 8, 10\)"),
        ({"images": torch.ones(9, 3, 8, 10, dtype=torch.uint8)}, "expected float images .* got torch.uint8"),
        ({"labels": torch.zeros(8, dtype=torch.int64)}, r"expected one label for each of 9 images, got shape \(8,\)"),
        ({"labels": torch.full((9,), 4)}, r"expected labels 0\.\.3, got 4\.\.4"),
        ({"labels": torch.full((9,), -1)}, r"expected labels 0\.\.3, got -1\.\.-1"),
        ({"index": torch.zeros(10, 8, dtype=torch.int64)}, r"expected an index of shape \(8, 10\), got \(10, 8\)"),
        ({"index": torch.full((8, 10), -1)}, "expected bands numbered from 0, got -1"),
        ({"model": lambda x: linear()(x) * math.nan}, "expected finite logits, got NaN or infinity"),
        ({"model": lambda x: linear()(x)[:, 0]}, r"expected logits \(9, K\), got \(9,\)"),
        ({"model": lambda x: linear()(x)[:1]}, r"expected logits \(9, K\), got \(1, 4\)"),
        ({"score": "entropy"}, "expected score logit, margin, log_probability or softmax, got 'entropy'"),
        ({"baseline": torch.zeros(10, 8)}, r"expected a baseline of shape \(3, 8, 10\), got \(10, 8\)"),
        ({"baseline": torch.zeros(8, 3, 8, 10)}, r"expected a baseline of shape \(3, 8, 10\), got \(8, 3, 8, 10\)"),
    ],
)
def test_what_does_not_fit_is_refused(images, labels, index, change, message):
    given = {"model": linear(), "images": images, "labels": labels, "index": index} | change
    with pytest.raises(ValueError, match=message):
        occluded_frequency(**given)


def test_a_margin_of_one_class_is_refused(images, index):
    with pytest.raises(ValueError, match="expected at least two classes for a margin, got 1"):
        occluded_frequency(lambda x: x.flatten(1)[:, :1], images, torch.zeros(9).long(), index, score="margin")


def test_a_dct_index_is_refused_in_the_dft_basis(images, labels, index):
    with pytest.raises(ValueError, match="expected a coefficient and its mirror in one band"):
        occluded_frequency(linear(), images, labels, index, basis="dft")


@pytest.mark.parametrize("fault", [{"hf_from": 1.0}, {"n_images": 0}, {"basis": "dwt"}, {"extra": 1}])
def test_settings_that_make_no_sense_name_their_key(fault):
    values = read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["attribution"]
    validate(values, AttributionSettings, "attribution")
    with pytest.raises(ValueError, match=rf"attribution\.{next(iter(fault))}: "):
        validate(values | fault, AttributionSettings, "attribution")


# Summaries, on the curves read off Wang et al.'s Fig. 1

TABLE = {  # model: DC, sum k = 2..8, sum 9..16, sum 17..31, centroid, share of k >= 17
    "nat": ("5.30", "1.62", "2.33", "4.39", "16.8", "0.50"),  # centroid 16.846
    "l2_0.25": ("6.64", "4.58", "3.04", "1.54", "10.0", "0.16"),
    "l2_0.5": ("6.51", "5.57", "2.66", "1.07", "8.6", "0.11"),
}


@pytest.fixture(scope="module")
def paper():
    """Class curves of each model, k = 1..31: (10, 31)."""
    rows = pd.read_csv(Path(__file__).parents[1] / "data" / "paper_fig1.csv")
    rows = rows[rows["k"] > 0]
    pivots = {
        model: part.pivot(index="class", columns="k", values="avg_logit_attribution")
        for model, part in rows.groupby("model")
    }
    return {model: pivot.to_numpy() for model, pivot in pivots.items()}


@pytest.mark.parametrize("model", TABLE)
def test_the_summary_of_the_papers_curves_is_the_published_one(paper, model):
    curves = paper[model]
    assert curves.shape == (10, 31)
    total = sums(curves, 0.5)
    found = [f"{total[name]:.2f}" for name in ("dc", "low_sum", "mid_sum", "high_sum")]
    found += [f"{centroid(curves):.1f}", f"{hf_share(curves, 0.5):.2f}"]
    assert tuple(found) == TABLE[model]


def test_the_papers_linf_curves_are_its_l2_curves(paper):
    np.testing.assert_array_equal(paper["linf_8"], paper["l2_0.5"])


def test_natural_has_more_high_and_robust_more_low_mass(paper):
    by_class = {model: sums(curves[:, None], 0.5) for model, curves in paper.items()}  # a stack of ten single classes
    natural, robust = by_class["nat"], by_class["l2_0.5"]
    assert (natural["high_sum"] > robust["high_sum"]).sum() == 9
    assert (robust["low_sum"] > natural["low_sum"]).sum() == 10


def test_the_sums_add_up_to_the_whole_curve(paper):
    for hf_from in (0.01, 0.3, 0.5, 0.77, 0.99):
        for curves in (paper["nat"], paper["nat"][:, :7], paper["nat"][:, :1]):
            np.testing.assert_allclose(sum(sums(curves, hf_from).values()), curves.mean(0).sum(), rtol=1e-12)


def test_high_frequencies_begin_where_the_fraction_says():
    for shells_, hf_from, first in [(32, 0.5, 16), (31, 0.5, 16), (20, 0.55, 11), (25, 0.28, 7), (10, 0.31, 4)]:
        curves = np.zeros((1, shells_))
        curves[0, first:] = 1.0
        assert hf_share(curves, hf_from) == 1.0
        assert sums(curves, hf_from)["high_sum"] == shells_ - first
        curves[0, first - 1] = 1.0
        assert hf_share(curves, hf_from) < 1.0
        assert sums(curves, hf_from)["high_sum"] == shells_ - first


def test_summaries_by_hand_leave_negative_parts_and_dc_out():
    curves = np.array([[9.0, 1.0, -2.0, 3.0], [9.0, 3.0, 0.0, 1.0]])  # mean 9, 2, -1, 2; k = 1..4
    assert centroid(curves) == pytest.approx((2 * 2 + 4 * 2) / 4)
    assert hf_share(curves, 0.5) == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert sums(curves, 0.5) == {"dc": 9.0, "low_sum": 0.0, "mid_sum": 2.0, "high_sum": 1.0}
    assert missing_shares(curves, 0.5) == 0


def test_a_class_with_nothing_positive_has_no_share_and_is_counted():
    curves = np.array([[5.0, 1.0, 1.0, 2.0], [5.0, -1.0, 0.0, -2.0], [np.nan] * 4])
    assert hf_share(curves, 0.5) == pytest.approx(3 / 4)
    assert missing_shares(curves, 0.5) == 2
    assert centroid(curves) == pytest.approx(3.0)  # mean 5, 0, .5, 0


def test_a_network_with_nothing_positive_has_no_share_and_no_centroid():
    for curves in (np.array([[5.0, -1.0, 0.0, -2.0]] * 2), np.full((2, 4), np.nan)):
        assert np.isnan(hf_share(curves, 0.5))
        assert np.isnan(centroid(curves))
        assert missing_shares(curves, 0.5) == 2


def test_a_stack_of_draws_is_summarised_as_each_draw_alone():
    curves = np.random.default_rng(0).normal(size=(6, 3, 8))
    curves[2, 1], curves[4] = np.nan, -1.0
    for function in (
        centroid,
        lambda c: hf_share(c, 0.5),
        lambda c: missing_shares(c, 0.5),
        lambda c: sums(c, 0.5)["dc"],
    ):
        np.testing.assert_allclose(function(curves), [function(each) for each in curves], rtol=1e-12)


def test_the_table_has_a_row_for_each_image():
    attribution = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    rows = table(attribution, torch.tensor([2, 0, 1]), torch.tensor([True, False, True]), seed=7)
    assert list(rows) == ["seed", "image", "label", "right", "shell_0", "shell_1"]
    assert rows["seed"].tolist() == [7, 7, 7]
    assert rows["image"].tolist() == [0, 1, 2]
    assert rows["label"].tolist() == [2, 0, 1]
    assert rows["right"].tolist() == [True, False, True]
    np.testing.assert_array_equal(rows[["shell_0", "shell_1"]], attribution)
