"""The checks of explanations against loops written out, and the tables of one network."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectroscope.attribution.methods import Measured, Task, measure
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import dct2, idct2, shells, synthesise
from spectroscope.pipeline import checkpoint, io, params
from spectroscope.validation import compared, faithfulness
from spectroscope.validation.multiverse import bands_of, described, multiverse, shuffled
from spectroscope.validation.settings import Faithfulness, Multiverse, ValidationSettings

EXACT = {"rtol": 0, "atol": 1e-10}
SHAPE, CLASSES, BANDS, N = (2, 7, 10), 3, 4, 6
SETTINGS = {
    "n_images": 10,
    "images": "all",
    "basis": "dct",
    "shape": "linf",
    "baseline": "zero",
    "score": "logit",
    "clip": False,
    "hf_from": 0.5,
    "compared": {"n_images": N, "shape": "linf", "bands": BANDS},
    "methods": {
        "occluded": {"method": "occluded", "baseline": "zero", "channels": "each", "clip": False},
        "integrated": {"method": "integrated_gradients", "baseline": "zero", "steps": 4},
        "waves": {"method": "heat_map", "eps": 1, "value": "logit", "clip": True},
    },
}
CHECKS = {
    "faithfulness": {"fractions": [0, 0.25, 1]},
    "sanity": {"n_images": 3, "shares": [0.5, 1]},
    "multiverse": {
        "n_images": 4,
        "bases": ["dct", "dft"],
        "shapes": ["linf", "octave", "equal_energy"],
        "baselines": ["zero", "mean"],
        "scores": ["logit", "margin"],
        "clips": [False, True],
    },
}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), 12), nn.Tanh(), nn.Linear(12, CLASSES)).double()
    with torch.no_grad():
        for seed, weight in enumerate(model.parameters()):
            weight.copy_(random(*weight.shape, seed=seed))
    return model.requires_grad_(False)


def task(basis="dct", chunk=4) -> Task:
    images = torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index, waves = (partition(*SHAPE[1:], "linf", BANDS, each) for each in (basis, "dft"))
    return Task(network(), images, torch.arange(N) % CLASSES, basis, index, waves, "logit", 0, chunk)


def probability(given: Task, x: torch.Tensor, n: int) -> float:
    return given.model(x[None]).softmax(1)[0, given.labels[n]].item()


def test_curves_by_band_are_those_of_a_loop():
    given = task()
    priority = random(N, BANDS, seed=5)
    logits = given.table("zero", False)
    values = logits.softmax(-1).gather(2, given.labels[:, None, None].expand(-1, 2**BANDS, 1))[..., 0]
    found = faithfulness.band_curves(values, priority)
    for n in range(N):
        gone = torch.zeros(BANDS, dtype=torch.bool)
        for step in range(BANDS + 1):
            mask = gone[given.index]
            spectrum = dct2(given.images[n])
            without, alone = (idct2(spectrum.masked_fill(hidden, 0)) for hidden in (mask, ~mask))
            assert found["deletion"][n, step].item() == pytest.approx(probability(given, without, n), abs=1e-10)
            assert found["insertion"][n, step].item() == pytest.approx(probability(given, alone, n), abs=1e-10)
            if step < BANDS:
                gone[priority[n].argsort(descending=True)[step]] = True


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_curves_that_are_walked_are_those_looked_up(basis, monkeypatch):
    given, it = task(basis), {"it": Measured(random(N, BANDS, seed=5), None, torch.zeros(N))}
    looked_up = faithfulness.curves(given, it, [0, 1])
    monkeypatch.setattr(faithfulness, "EXACT_BANDS", BANDS - 1)
    walked = faithfulness.curves(given, it, [0, 1])
    assert set(walked.query("unit == 'band'")["order"]) == {"it", *faithfulness.TRIVIAL}
    pd.testing.assert_frame_equal(walked, looked_up, rtol=0, atol=1e-10)


def test_curves_by_coefficient_are_those_of_a_loop():
    given, fractions = task(), [0, 0.1, 0.5, 1]
    priority = random(N, *SHAPE[1:], seed=6)
    for insertion in (False, True):
        found = faithfulness.coefficient_curve(given, priority, fractions, insertion)
        for n in range(N):
            order = priority[n].flatten().argsort(descending=True).tolist()
            for step, fraction in enumerate(fractions):
                first = torch.zeros(70, dtype=torch.bool)
                first[order[: round(fraction * 70)]] = True
                kept = (first if insertion else ~first).view(7, 10)
                x = idct2(dct2(given.images[n]) * kept)
                assert found[n, step].item() == pytest.approx(probability(given, x, n), abs=1e-10)


def test_coefficients_of_the_dft_go_with_their_mirrors(monkeypatch):
    given, seen = task("dft"), []
    monkeypatch.setattr(faithfulness, "synthesise", lambda s, basis: seen.append(s) or synthesise(s, basis))
    priority = faithfulness.trivial(given)["random"]
    faithfulness.coefficient_curve(given, priority, [0, 0.3, 1], True)
    for spectrum in seen:
        assert torch.fft.ifft2(spectrum).imag.abs().max() < 1e-12


def test_the_yardsticks_are_what_their_names_say():
    given = task()
    plain = faithfulness.trivial(given)
    torch.testing.assert_close(plain["energy"], dct2(given.images).square().sum(1), **EXACT)
    assert plain["low_to_high"][0].argmax() == 0 and plain["high_to_low"][0].argmax() == 69
    found = faithfulness.curves(given, {"it": Measured(random(N, BANDS), None, torch.zeros(N))}, [0, 1])
    assert set(found["order"]) == {"it", *faithfulness.TRIVIAL}
    by_band = found[(found["unit"] == "band") & (found["kind"] == "insertion")].set_index(["order", "image"])
    low, high = (given.images - idct2(dct2(given.images) * (given.index > 0)), given.images)
    assert by_band.loc[("low_to_high", 2), "step_1"] == pytest.approx(probability(given, low[2], 2))
    assert by_band.loc[("high_to_low", 2), f"step_{BANDS}"] == pytest.approx(probability(given, high[2], 2))
    assert set(found.loc[found["order"] == "it", "unit"]) == {"band"}


def test_deleting_what_a_model_reads_first_is_the_best_order():
    index = task().index
    given = task()
    weights = random(math.prod(SHAPE), CLASSES)
    strong = dct2(weights.T.reshape(CLASSES, *SHAPE)) * torch.where(index == 2, 5.0, 0.01)
    model = lambda x: dct2(x).flatten(1) @ strong.flatten(1).T  # noqa: E731
    given = Task(**{**vars(given), "model": model, "labels": model(given.images).argmax(1), "score": "margin"})
    measured = {"occluded": measure(given, params.validate(SETTINGS, AttributionSettings, "a").methods["occluded"])}
    found = faithfulness.curves(given, measured, [0, 1])
    band = found[found["unit"] == "band"].set_index(["kind", "order"])
    auc = band[[f"step_{k}" for k in range(BANDS + 1)]].mean(axis=1).groupby(level=[0, 1]).mean()
    assert auc["deletion"].idxmin() == "occluded" and auc["insertion"].idxmax() == "occluded"


def test_an_intervention_takes_the_bands_energy_off_the_rest():
    given, seen = task(), []
    model = given.model
    given = Task(**{**vars(given), "model": lambda x: seen.append(x) or model(x), "chunk": 64})
    found = faithfulness.interventions(given)
    assert len(found) == N * BANDS and set(found["band"]) == set(range(BANDS))
    power = dct2(given.images).square()
    for band in range(BANDS):
        without, other = seen[1 + 2 * band], seen[2 + 2 * band]
        mask = given.index == band
        torch.testing.assert_close(dct2(without), dct2(given.images) * ~mask, **EXACT)
        lost = dct2(given.images - other).square()
        own, rest = ((power * each).sum((1, 2, 3)) for each in (mask, ~mask & (given.index > 0)))
        torch.testing.assert_close(lost.sum((1, 2, 3)), torch.minimum(own, rest), **EXACT)
        assert lost[:, :, mask].abs().max() < 1e-20
    drop = occluded_frequency(model, given.images, given.labels, given.index)
    by_band = found.pivot(index="image", columns="band", values="drop_without").to_numpy()
    np.testing.assert_allclose(by_band, drop.numpy(), rtol=0, atol=1e-10)
    right = model(given.images).argmax(1) == given.labels
    assert found.loc[found["band"] == 1, "right"].tolist() == right.tolist()


# Multiverse and shuffled weights


def test_every_combination_is_occluded_frequency_with_those_choices():
    given, settings = task(), params.validate(CHECKS["multiverse"], Multiverse, "multiverse")
    found, about = multiverse(given, settings, BANDS)
    choices = ["basis", "shape", "baseline", "score", "clip"]
    assert len(found.drop_duplicates(choices)) == 2 * 3 * 2 * 2 * 2
    images = given.images[:4]
    for key, part in found.groupby(choices):
        basis, shape, baseline, score, clip = key
        index = bands_of(images, shape, BANDS, basis)
        options = {
            "basis": basis,
            "score": score,
            "clip": clip,
            "baseline": images.mean(0) if baseline == "mean" else None,
        }
        expected = occluded_frequency(given.model, images, given.labels[:4], index, **options)
        bands = [f"band_{k}" for k in range(int(index.max()) + 1)]
        np.testing.assert_allclose(part[bands], expected, rtol=0, atol=1e-10)
        described_ = about[(about["basis"] == basis) & (about["shape"] == shape)]
        assert described_["size"].tolist() == torch.bincount(index.flatten()).tolist()


def test_bands_are_described_by_size_energy_and_position():
    images = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = described(images, shells(4, 4), "dct", "linf")
    assert found["size"].tolist() == [1, 3, 5, 7]
    assert found["energy"].sum() == pytest.approx(images.square().sum().item() / 3)
    np.testing.assert_allclose(found["position"], [0, 1 / 3, 2 / 3, 1])


def test_shuffled_layers_keep_their_values_and_begin_at_the_end():
    model = network()
    half, whole = (shuffled(model, share, torch.Generator().manual_seed(0)) for share in (0.5, 1.0))
    for other, changed in ((half, [False, True]), (whole, [True, True])):
        for layer, moved in zip((1, 3), changed, strict=True):
            before, after = model[layer].weight, other[layer].weight
            assert before.equal(after) != moved
            assert before.flatten().sort().values.equal(after.flatten().sort().values)
    assert model[3].weight.equal(network()[3].weight)


# All of it


@pytest.fixture
def pictures() -> io.Images:
    pixels = torch.rand(N, *SHAPE, generator=torch.Generator().manual_seed(0))
    return io.Images(pixels, torch.arange(N) % CLASSES, ("a", "b", "c"))


def test_one_network_gives_every_table(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = params.validate(SETTINGS, AttributionSettings, "attribution")
    checks = params.validate(CHECKS, ValidationSettings, "validation")
    with checkpoint.open_store("attribute", it=1) as store:
        found = compared.explain(network().float(), pictures, settings, checks, 3, store)
    assert set(found) == set(compared.TABLES)
    assert all((table["seed"] == 3).all() and len(table) for table in found.values())
    values = found["values"]
    assert len(values) == 3 * N and values["label"].tolist()[:N] == pictures.labels.tolist()
    of = occluded_frequency(network().float(), pictures.pixels, pictures.labels, partition(7, 10, "linf", BANDS, "dct"))
    mine = values[values["method"] == "occluded"].sort_values("image")[[f"band_{k}" for k in range(BANDS)]]
    np.testing.assert_allclose(mine, of, rtol=0, atol=1e-4)
    right = network().float()(pictures.pixels).argmax(1) == pictures.labels
    assert values[values["method"] == "waves"].sort_values("image")["right"].tolist() == right.tolist()
    assert set(found["maps"]["method"]) == {"integrated", "waves"}
    assert len(found["sanity"]) == 3 * 3 * 2
    assert set(found["curves"].query("unit == 'coefficient'")["order"]) == {"integrated", *faithfulness.TRIVIAL}


def test_a_killed_network_goes_on_with_the_next_measure(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = params.validate(SETTINGS, AttributionSettings, "attribution")
    checks = params.validate(CHECKS | {"sanity": None, "multiverse": None}, ValidationSettings, "validation")
    done = []

    def counted(task, method):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(method.method)
        return measure(task, method)

    monkeypatch.setattr(compared, "measure", counted)
    with pytest.raises(KeyboardInterrupt), checkpoint.open_store("attribute", it=1) as store:
        compared.explain(network().float(), pictures, settings, checks, 0, store)
    monkeypatch.setattr(compared, "measure", lambda task, method: done.append(method.method) or measure(task, method))
    with checkpoint.open_store("attribute", it=1) as store:
        resumed = compared.explain(network().float(), pictures, settings, checks, 0, store)
    assert done == ["occluded", "integrated_gradients", "heat_map"]
    with checkpoint.open_store("attribute", it=2) as store:
        whole = compared.explain(network().float(), pictures, settings, checks, 0, store)
    for name, table in whole.items():
        assert table.equals(resumed[name]), name
    assert whole["sanity"].empty and whole["multiverse"].empty


@pytest.mark.parametrize("fractions", [[0, 0.5], [0.1, 1], [0, 1, 0.5], [0, 0.5, 0.5, 1]])
def test_fractions_must_rise_from_nothing_to_everything(fractions):
    with pytest.raises(ValueError, match=r"faithfulness\.fractions: expected fractions that rise from 0 to 1, got"):
        params.validate({"fractions": fractions}, Faithfulness, "faithfulness")
