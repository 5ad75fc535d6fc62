"""Deletion and insertion curves, and interventions, against loops written out."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from validation_cases import BANDS, CLASSES, EXACT, SETTINGS, SHAPE, N, make_task, random

from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.registry import attribute
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.task import Attribution, Task
from spectroscope.frequency.equal_energy import equal_energy, random_orders
from spectroscope.frequency.spectrum import dct2, idct2, synthesise
from spectroscope.pipeline import params
from spectroscope.validation import faithfulness
from spectroscope.validation.faithfulness import FaithfulnessSettings


def probability(task: Task, x: torch.Tensor, n: int) -> float:
    return task.model(x[None]).softmax(1)[0, task.labels[n]].item()


def test_curves_by_band_are_those_of_a_loop():
    task = make_task()
    priority = random(N, BANDS, seed=5)
    logits = task.every_logits("zero", False)
    values = logits.softmax(-1).gather(2, task.labels[:, None, None].expand(-1, 2**BANDS, 1))[..., 0]
    found = faithfulness.looked_up_curves(values, priority)
    for n in range(N):
        gone = torch.zeros(BANDS, dtype=torch.bool)
        for step in range(BANDS + 1):
            mask = gone[task.index]
            spectrum = dct2(task.images[n])
            without, alone = (idct2(spectrum.masked_fill(hidden, 0)) for hidden in (mask, ~mask))
            assert found["deletion"][n, step].item() == pytest.approx(probability(task, without, n), abs=1e-10)
            assert found["insertion"][n, step].item() == pytest.approx(probability(task, alone, n), abs=1e-10)
            if step < BANDS:
                gone[priority[n].argsort(descending=True)[step]] = True


@pytest.mark.parametrize("basis", ["dct", "dft"])
def test_curves_taken_step_by_step_are_those_looked_up(basis, monkeypatch):
    task, it = make_task(basis), {"it": Attribution(random(N, BANDS, seed=5), None, torch.zeros(N))}
    looked_up = faithfulness.curves(task, it, [0, 1])
    monkeypatch.setattr(faithfulness, "EXACT_BANDS", BANDS - 1)
    walked = faithfulness.curves(task, it, [0, 1])
    assert set(walked.query("unit == 'band'")["order"]) == {"it", *faithfulness.TRIVIAL}
    pd.testing.assert_frame_equal(walked, looked_up, rtol=0, atol=1e-10)


def test_curves_by_coefficient_are_those_of_a_loop():
    task, fractions = make_task(), [0, 0.1, 0.5, 1]
    priority = random(N, *SHAPE[1:], seed=6)
    for insertion in (False, True):
        found = faithfulness.coefficient_curve(task, priority, fractions, insertion)
        for n in range(N):
            order = priority[n].flatten().argsort(descending=True).tolist()
            for step, fraction in enumerate(fractions):
                first = torch.zeros(70, dtype=torch.bool)
                first[order[: round(fraction * 70)]] = True
                kept = (first if insertion else ~first).view(7, 10)
                x = idct2(dct2(task.images[n]) * kept)
                assert found[n, step].item() == pytest.approx(probability(task, x, n), abs=1e-10)


def test_coefficients_of_the_dft_go_with_their_mirrors(monkeypatch):
    task, seen = make_task("dft"), []
    monkeypatch.setattr(faithfulness, "synthesise", lambda s, basis: seen.append(s) or synthesise(s, basis))
    priority = faithfulness.trivial_priorities(task)["random"]
    faithfulness.coefficient_curve(task, priority, [0, 0.3, 1], True)
    for spectrum in seen:
        assert torch.fft.ifft2(spectrum).imag.abs().max() < 1e-12


def test_the_yardsticks_are_what_their_names_say():
    task = make_task()
    trivial = faithfulness.trivial_priorities(task)
    torch.testing.assert_close(trivial["energy"], dct2(task.images).square().sum(1), **EXACT)
    assert trivial["low_to_high"][0].argmax() == 0 and trivial["high_to_low"][0].argmax() == 69
    found = faithfulness.curves(task, {"it": Attribution(random(N, BANDS), None, torch.zeros(N))}, [0, 1])
    assert set(found["order"]) == {"it", *faithfulness.TRIVIAL}
    by_band = found[(found["unit"] == "band") & (found["kind"] == "insertion")].set_index(["order", "image"])
    low, high = (task.images - idct2(dct2(task.images) * (task.index > 0)), task.images)
    assert by_band.loc[("low_to_high", 2), "step_1"] == pytest.approx(probability(task, low[2], 2))
    assert by_band.loc[("high_to_low", 2), f"step_{BANDS}"] == pytest.approx(probability(task, high[2], 2))
    assert set(found.loc[found["order"] == "it", "unit"]) == {"band"}


def test_deleting_what_a_model_reads_first_is_the_best_order():
    task = make_task()
    weights = random(math.prod(SHAPE), CLASSES)
    strong = dct2(weights.T.reshape(CLASSES, *SHAPE)) * torch.where(task.index == 2, 5.0, 0.01)
    model = lambda x: dct2(x).flatten(1) @ strong.flatten(1).T  # noqa: E731
    task = replace(task, model=model, labels=model(task.images).argmax(1), score="margin")
    attributions = {
        "occluded": attribute(task, params.validate(SETTINGS, AttributionSettings, "a").methods["occluded"])
    }
    found = faithfulness.curves(task, attributions, [0, 1])
    band = found[found["unit"] == "band"].set_index(["kind", "order"])
    auc = band[[f"step_{k}" for k in range(BANDS + 1)]].mean(axis=1).groupby(level=[0, 1]).mean()
    assert auc["deletion"].idxmin() == "occluded" and auc["insertion"].idxmax() == "occluded"


def test_an_intervention_takes_the_bands_energy_off_the_rest():
    task, seen = make_task(), []
    model = task.model
    task = replace(task, model=lambda x: seen.append(x) or model(x), chunk=64)
    found = faithfulness.interventions(task, 0)
    orders = random_orders(range(N), task.index.numel(), 0)
    assert len(found) == N * BANDS and set(found["band"]) == set(range(BANDS))
    power = dct2(task.images).square()
    for band in range(BANDS):
        without, other = seen[1 + 2 * band], seen[2 + 2 * band]
        mask = task.index == band
        torch.testing.assert_close(dct2(without), dct2(task.images) * ~mask, **EXACT)
        gone = equal_energy(dct2(task.images), mask, orders, "dct")[:, None]
        torch.testing.assert_close(dct2(other), dct2(task.images) * ~gone, **EXACT)
        above_dc = power[..., task.index > 0].sum((1, 2))
        shares = found[found["band"] == band]
        for name, removed in (("energy", mask), ("energy_other", gone)):
            expected = (power * removed).sum((1, 2, 3)) / above_dc
            np.testing.assert_allclose(shares[name], expected, rtol=1e-10)
        if band:
            assert (shares["energy_other"] <= shares["energy"] + 1e-12).all()
    drop = occluded_frequency(model, task.images, task.labels, task.index)
    by_band = found.pivot(index="image", columns="band", values="drop_without").to_numpy()
    np.testing.assert_allclose(by_band, drop.numpy(), rtol=0, atol=1e-10)
    right = model(task.images).argmax(1) == task.labels
    assert found.loc[found["band"] == 1, "right"].tolist() == right.tolist()


@pytest.mark.parametrize("fractions", [[0, 0.5], [0.1, 1], [0, 1, 0.5], [0, 0.5, 0.5, 1]])
def test_fractions_must_rise_from_nothing_to_everything(fractions):
    with pytest.raises(ValueError, match=r"faithfulness\.fractions: expected fractions that rise from 0 to 1, got"):
        params.validate({"fractions": fractions}, FaithfulnessSettings, "faithfulness")
