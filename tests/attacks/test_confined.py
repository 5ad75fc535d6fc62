"""Confined PGD: where the energy of its perturbations lies, and its steps."""

import pandas as pd
import pytest
import scipy.fft
import torch
from attack_cases import settings_of
from band_cases import BANDS, L2, LINF, NORMS, SHAPE, band, energy_outside, images, in_band, mask_of, model

from spectroscope.attacks import runner

DATA = images()


@pytest.mark.parametrize(
    ("name", "direction"), [*((name, "l2") for name in BANDS), ("middle", "sign"), ("middle", "raw")]
)
@pytest.mark.parametrize("norm", NORMS)
def test_perturbations_lie_in_the_band_after_ball_and_clip(name, norm, direction):
    outcome = runner.run(in_band(name, NORMS[norm], direction=direction), model, *DATA, seed=0)
    assert outcome.success.any() or name in ("dc", "lowest")
    assert (energy_outside(outcome.perturbation, name)[outcome.success] <= 1e-4 + 1e-8).all()


@pytest.mark.parametrize("norm", NORMS)
def test_every_iterate_lies_in_the_band(norm):
    iterates = []
    x, labels = DATA[0][3:6], DATA[1][3:6]

    def watched(z):
        if torch.is_grad_enabled() and len(z) == 3:
            iterates.append(z.detach() - x)
        return model(z) + 100 * torch.nn.functional.one_hot(labels, 4)[: len(z)]

    runner.run(in_band("middle", NORMS[norm]), watched, x, labels, seed=0)
    assert len(iterates) >= 8
    assert all(energy_outside(change, "middle").max() <= 1e-4 + 1e-8 for change in iterates[1:])
    assert max(float(change.abs().max()) for change in iterates[1:]) > 0


@pytest.mark.parametrize("random_start", [True, False])
def test_an_image_that_admits_no_perturbation_in_the_band_stays_and_takes_one_query(random_start):
    x = torch.full((2, *SHAPE), 0.5)
    x[0, :, 0, 0], x[0, :, 1, 1] = 0, 1
    evaluated = []

    def watched(z):
        evaluated.append(z.detach().clone())
        return model(z) + 100 * torch.eye(4)[0]  # never fooled

    settings = in_band("dc", steps=4, random_start=random_start)
    outcome = runner.run(settings, watched, x, torch.tensor([0, 0]), seed=0)
    assert outcome.queries.tolist() == [1, 4]
    assert torch.equal(evaluated[1][0], x[0])  # after the clean predictions: the first query


def test_a_partition_runs_as_one_entry_at_one_l2_radius():
    bands = {name: BANDS[name] for name in ("low", "middle", "high")}
    settings = settings_of(L2, bands=bands, eps=[0.7, 2.0])
    x, labels = DATA
    changes, tables = zip(*runner.run_entry(settings, model, x[3:], labels[3:], seed=0), strict=True)
    change, table = torch.cat(changes), pd.concat(tables, ignore_index=True)
    names = [f"{name} {eps}" for name in bands for eps in ("0.7", "2")]
    assert table["variant"].tolist() == [name for name in names for _ in range(7)]
    assert (table["l2"] <= table["eps"] + 1e-6).all()
    fooled = table["success"] & (table["eps"] == 2.0)
    assert fooled.sum() > 5
    for name in bands:
        rows = (fooled & table["variant"].str.startswith(name)).tolist()
        assert (energy_outside(change[rows], name) <= 1e-4 + 1e-8).all()


def test_steps_in_a_band_are_those_of_a_textbook_loop():
    """Grey images: no clip takes part, so the ball and the band alone decide."""
    x = torch.full((2, *SHAPE), 0.5)
    mask = mask_of("middle").double()

    def curved(x):
        return torch.cat([model(x) + (x - 0.5).flatten(1).square().sum(1, keepdim=True) * torch.arange(4.0)], 1)

    labels = torch.tensor([0, 0])
    settings = in_band("middle", random_start=False, steps=5, eps=0.8)
    shifted = torch.tensor([9.0, 0, 0, 0])
    outcome = runner.run(settings, lambda x: curved(x) + shifted, x, labels, seed=0)
    assert not outcome.success.any()  # so that all five steps are taken

    def watched(z):
        queries.append(z.detach())
        return curved(z) + shifted

    queries = []
    runner.run(settings, watched, x, labels, seed=0)
    change = torch.zeros(SHAPE, dtype=torch.float64)
    for _ in range(5):
        z = (x[0].double() + change).requires_grad_()
        logits = curved(z[None].float())[0].double() + shifted
        (logits[0] - logits[1:].logsumexp(0)).backward()
        gradient = torch.from_numpy(scipy.fft.dctn(z.grad.numpy(), axes=(1, 2), norm="ortho")) * mask
        gradient = torch.from_numpy(scipy.fft.idctn(gradient.numpy(), axes=(1, 2), norm="ortho"))
        change = change - settings.step_size * gradient / gradient.norm()
        change = change * min(1.0, 0.8 / float(change.norm()))
    torch.testing.assert_close(queries[-1][0].double(), x[0].double() + change, rtol=0, atol=1e-5)


def test_without_a_band_one_full_step_along_the_sign_is_fgsm():
    fgsm = runner.run(settings_of({"method": "fgsm", "target": None, "eps_255": 9}), model, *DATA, seed=0)
    settings = in_band("all", LINF, eps_255=9, step_255=9, steps=1, random_start=False, direction="sign")
    confined_to_all = runner.run(settings, model, *DATA, seed=0)
    assert fgsm.success.any()
    torch.testing.assert_close(confined_to_all.perturbation, fgsm.perturbation, rtol=0, atol=1e-6)


def test_the_direction_of_a_step_is_what_its_name_says():
    x = torch.full((1, *SHAPE), 0.5)
    queries = []

    def watched(z):
        queries.append(z.detach() - x)
        return model(z) + 10 * torch.eye(4)[0]

    (gradient,) = torch.autograd.grad(-_odds(model(z := x.clone().requires_grad_()) + 10 * torch.eye(4)[0]), z)
    for direction, expected in (
        ("sign", 0.01 * (3 * 12 * 14) ** 0.5 * gradient.sign() / (3 * 12 * 14) ** 0.5),
        ("l2", 0.01 * gradient / gradient.norm()),
        ("raw", 0.01 * gradient),
    ):
        queries.clear()
        settings = in_band("all", direction=direction, step_size=0.01, steps=1, random_start=False, eps=5.0)
        runner.run(settings, watched, x, torch.tensor([0]), seed=0)
        if direction == "sign":
            expected = expected / expected.norm() * 0.01
        torch.testing.assert_close(queries[-1], expected, rtol=1e-3, atol=1e-7)


def _odds(logits):
    return logits[0, 0] - logits[0, 1:].logsumexp(0)


# ---- a number of coefficients within a band


def used(outcome):
    """The DCT coefficients that the successful perturbations use: (n, H, W) booleans, the same in every channel."""
    spectrum = scipy.fft.dctn(outcome.perturbation[outcome.success].double().numpy(), axes=(-2, -1), norm="ortho")
    power = spectrum**2
    return power.sum(1) > 1e-3 * power.sum((1, 2, 3))[:, None, None]


@pytest.mark.parametrize("name", ["low", "high", "all"])
def test_perturbations_lie_in_the_chosen_number_of_coefficients_of_the_band(name):
    x, labels = DATA[0][5:], DATA[1][5:]
    outcome = runner.run(in_band(name, coefficients=8, eps=9.0, step_size=2.0), model, x, labels, seed=0)
    masks = used(outcome)
    assert outcome.success.sum() >= 3 and (outcome.leak[outcome.success] <= 1e-4).all()
    counts = masks.sum((1, 2))
    assert counts.max() <= 8 and counts.min() >= 5
    assert not (masks & ~mask_of(name).numpy()).any()
    assert len({mask.tobytes() for mask in masks}) == len(masks)  # other coefficients for each image


def test_an_image_has_the_same_coefficients_for_every_network_and_in_every_batch():
    settings = in_band("low", coefficients=8, eps=9.0, step_size=2.0)
    x, labels = DATA[0][5:], DATA[1][5:]
    one = runner.run(settings, model, x, labels, seed=0)
    other = runner.run(settings, model, x, labels, seed=1, batch_size=2)
    both = one.success & other.success
    assert both.sum() >= 3 and not torch.equal(one.perturbation[both], other.perturbation[both])
    masks = [used(outcome)[both[outcome.success].numpy()] for outcome in (one, other)]
    drawn = masks[0] | masks[1]
    assert drawn.sum((1, 2)).max() <= 8


def test_a_subspace_of_all_coefficients_is_the_band():
    whole, subspace = (runner.run(in_band("low", coefficients=n), model, *DATA, seed=0) for n in (None, 16))
    assert whole.success.any()
    torch.testing.assert_close(subspace.perturbation, whole.perturbation, rtol=0, atol=1e-6)


def test_more_coefficients_than_a_band_has_are_refused_by_its_name():
    with pytest.raises(
        ValueError, match=r"bands\.low: expected a band of at least 17 coefficients, got 16 \(12 x 14\)"
    ):
        runner.run(in_band("low", coefficients=17), model, *DATA, seed=0)
    with pytest.raises(ValueError, match="expected coefficients null where the basis of ring is dft, got 4"):
        in_band("ring", coefficients=4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (band(20, 30), "expected high <= 14 shells"),
        (band(0.5, 0.501, unit="fraction"), "expected a band at least one shell wide"),
        (band(0, 14, keep="outside"), "expected a band that keeps a coefficient"),
        ({"keep": "lowest", "ratio": 0.03}, "expected a ratio that keeps a coefficient of 12 x 14 images, got 0.03"),
    ],
)
def test_a_band_without_coefficients_is_refused(bad, message):
    with pytest.raises(ValueError, match=f"bands.empty: {message}"):
        runner.run(settings_of(L2, bands={"empty": bad}), model, *DATA, seed=0)
