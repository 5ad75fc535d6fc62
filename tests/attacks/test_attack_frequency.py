"""Attacks confined to frequencies and controls of exact size: where their energy lies, and how much of it there is."""

import numpy as np
import pandas as pd
import pytest
import scipy.fft
import torch

from spectroscope.attacks import confined, suite
from spectroscope.attacks.noise import KINDS
from spectroscope.attacks.settings import AttackSettings, parts
from spectroscope.frequency.balls import Ball
from spectroscope.frequency.passbands import band_filter, band_mask
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import machine, params

SHAPE = (3, 12, 14)
CONFINED = {
    "method": "confined",
    "norm": "l2",
    "n_images": 10,
    "target": None,
    "eps": 1.0,
    "step_size": 0.3,
    "steps": 8,
    "random_start": True,
    "direction": "l2",
}
LINF = {**{key: value for key, value in CONFINED.items() if key not in ("eps", "step_size")}, "norm": "linf"}
LINF = {**LINF, "eps_255": 16, "step_255": 4}
NOISE = {"method": "noise", "n_images": 10}


def band(low, high, basis="dct", shape="linf", keep="inside", unit="shells"):
    return {"keep": keep, "basis": basis, "shape": shape, "unit": unit, "low": low, "high": high, "clip": False}


BANDS = {
    "dc": band(0, 1),
    "low": band(0, 4),
    "middle": band(4, 8),
    "high": band(8, 14),
    "ring": band(2, 5, "dft", "radial"),
    "stop": band(0.2, 0.6, "dct", "diagonal", "outside", "fraction"),
    "lowest": {"keep": "lowest", "ratio": 0.4},
    "all": {"keep": "all", "clip": False},
}
EVERY_BAND = pytest.mark.parametrize("name", BANDS)


def settings_of(entry, **changes):
    return params.validate({**entry, **changes}, AttackSettings, "attacks.one")


def one_band(name, entry=CONFINED, **changes):
    return settings_of(entry, bands={name: BANDS[name]}, **changes)


def model(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    weights = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    return torch.stack([((x - 0.5) * weight).flatten(1).sum(1) for weight in weights], 1) / 5


@pytest.fixture(scope="module")
def data():
    """Images with black and white regions, and grey ones."""
    x = torch.rand(10, *SHAPE, generator=torch.Generator().manual_seed(0))
    x[0, :, :3], x[1, :, :, 5:7], x[2] = 0, 1, x[2].round()
    x[5:] = 0.25 + x[5:] / 2
    return x, model(x).argmax(1)


def mask_of(name):
    settings = one_band(name).bands[name]
    if name == "lowest":
        u, v = np.indices(SHAPE[1:])
        return torch.from_numpy((u < 5) & (v < 6))
    return band_mask(settings, *SHAPE[1:])


def outside(change, name):
    """Share of each perturbation's energy outside the band, by another library."""
    mask, pixels = mask_of(name).numpy(), change.double().numpy()
    if BANDS[name].get("basis") == "dft":
        power = np.abs(scipy.fft.fft2(pixels, norm="ortho")) ** 2
    else:
        power = scipy.fft.dctn(pixels, axes=(-2, -1), norm="ortho") ** 2
    return (power * ~mask).sum((1, 2, 3)) / np.maximum(power.sum((1, 2, 3)), 1e-30)


# ---- confined


@EVERY_BAND
@pytest.mark.parametrize("entry", [CONFINED, LINF], ids=["l2", "linf"])
@pytest.mark.parametrize("direction", ["sign", "l2", "raw"])
def test_what_is_found_lies_in_the_band_after_ball_and_clip(name, entry, direction, data):
    outcome = suite.run(one_band(name, entry, direction=direction), model, *data, seed=0)
    assert outcome.success.any() or name in ("dc", "lowest")
    assert (outside(outcome.perturbation, name)[outcome.success] <= 1e-4 + 1e-8).all()


@pytest.mark.parametrize("entry", [CONFINED, LINF], ids=["l2", "linf"])
def test_every_iterate_lies_in_the_band(entry, data):
    seen = []
    x, labels = data[0][3:6], data[1][3:6]

    def watched(z):
        if torch.is_grad_enabled() and len(z) == 3:
            seen.append(z.detach() - x)
        return model(z) + 100 * torch.nn.functional.one_hot(labels, 4)[: len(z)]

    suite.run(one_band("middle", entry), watched, x, labels, seed=0)
    assert len(seen) >= 8
    assert all(outside(change, "middle").max() <= 1e-4 + 1e-8 for change in seen[1:])
    assert max(float(change.abs().max()) for change in seen[1:]) > 0


def test_a_partition_runs_as_one_entry_at_one_l2_radius(data):
    bands = {name: BANDS[name] for name in ("low", "middle", "high")}
    settings = settings_of(CONFINED, bands=bands, eps=[0.7, 2.0])
    x, labels = data
    changes, tables = zip(*suite.run_entry(settings, model, x[3:], labels[3:], seed=0), strict=True)
    change, table = torch.cat(changes), pd.concat(tables, ignore_index=True)
    names = [f"{name} {eps}" for name in bands for eps in ("0.7", "2")]
    assert table["variant"].tolist() == [name for name in names for _ in range(7)]
    assert (table["l2"] <= table["eps"] + 1e-6).all()
    found = table["success"] & (table["eps"] == 2.0)
    assert found.sum() > 5
    for name in bands:
        rows = (found & table["variant"].str.startswith(name)).tolist()
        assert (outside(change[rows], name) <= 1e-4 + 1e-8).all()


def test_steps_in_a_band_are_those_of_a_textbook_loop():
    """Grey images: no clip takes part, so the ball and the band alone decide."""
    x = torch.full((2, *SHAPE), 0.5)
    mask = mask_of("middle").double()

    def curved(x):
        return torch.cat([model(x) + (x - 0.5).flatten(1).square().sum(1, keepdim=True) * torch.arange(4.0)], 1)

    labels = torch.tensor([0, 0])
    settings = one_band("middle", random_start=False, steps=5, eps=0.8)
    shifted = torch.tensor([9.0, 0, 0, 0])
    outcome = suite.run(settings, lambda x: curved(x) + shifted, x, labels, seed=0)
    assert not outcome.success.any()  # so that all five steps are taken

    def last(z):
        seen.append(z.detach())
        return curved(z) + shifted

    seen = []
    suite.run(settings, last, x, labels, seed=0)
    change = torch.zeros(SHAPE, dtype=torch.float64)
    for _ in range(5):
        z = (x[0].double() + change).requires_grad_()
        logits = curved(z[None].float())[0].double() + shifted
        (logits[0] - logits[1:].logsumexp(0)).backward()
        gradient = torch.from_numpy(scipy.fft.dctn(z.grad.numpy(), axes=(1, 2), norm="ortho")) * mask
        gradient = torch.from_numpy(scipy.fft.idctn(gradient.numpy(), axes=(1, 2), norm="ortho"))
        change = change - settings.step_size * gradient / gradient.norm()
        change = change * min(1.0, 0.8 / float(change.norm()))
    torch.testing.assert_close(seen[-1][0].double(), x[0].double() + change, rtol=0, atol=1e-5)


def test_without_a_band_one_full_step_along_the_sign_is_fgsm(data):
    fgsm = suite.run(
        settings_of({"method": "fgsm", "n_images": 10, "target": None, "eps_255": 9}), model, *data, seed=0
    )
    settings = one_band("all", LINF, eps_255=9, step_255=9, steps=1, random_start=False, direction="sign")
    confined_to_all = suite.run(settings, model, *data, seed=0)
    assert fgsm.success.any()
    torch.testing.assert_close(confined_to_all.perturbation, fgsm.perturbation, rtol=0, atol=1e-6)


def test_the_direction_of_a_step_is_what_its_name_says():
    x = torch.full((1, *SHAPE), 0.5)
    seen = []

    def watched(z):
        seen.append(z.detach() - x)
        return model(z) + 10 * torch.eye(4)[0]

    (gradient,) = torch.autograd.grad(-_odds(model(z := x.clone().requires_grad_()) + 10 * torch.eye(4)[0]), z)
    for direction, expected in (
        ("sign", 0.01 * (3 * 12 * 14) ** 0.5 * gradient.sign() / (3 * 12 * 14) ** 0.5),
        ("l2", 0.01 * gradient / gradient.norm()),
        ("raw", 0.01 * gradient),
    ):
        seen.clear()
        settings = one_band("all", direction=direction, step_size=0.01, steps=1, random_start=False, eps=5.0)
        suite.run(settings, watched, x, torch.tensor([0]), seed=0)
        if direction == "sign":
            expected = expected / expected.norm() * 0.01
        torch.testing.assert_close(seen[-1], expected, rtol=1e-3, atol=1e-7)


def _odds(logits):
    return logits[0, 0] - logits[0, 1:].logsumexp(0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_confining_keeps_what_already_has_its_place(norm):
    x = torch.full((3, *SHAPE), 0.5)
    settings = one_band("ring").bands["ring"]
    change = band_filter(0.05 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)), settings)
    moved, placed = confined.confine(change, x, Ball(norm, 5.0), confined.projection(settings, *SHAPE[1:]))
    assert placed.all()
    torch.testing.assert_close(moved, change, rtol=0, atol=1e-6)


def test_a_constant_has_no_place_on_an_image_with_black_and_white_pixels():
    x = torch.full((2, *SHAPE), 0.5)
    x[0, :, 0, 0], x[0, :, 1, 1] = 0, 1
    project = confined.projection(one_band("dc").bands["dc"], *SHAPE[1:])
    moved, placed = confined.confine(torch.full((2, *SHAPE), 0.1), x, Ball("l2", 9.0), project)
    assert placed.tolist() == [False, True] and not moved[0].any()
    torch.testing.assert_close(moved[1], torch.full(SHAPE, 0.1), rtol=0, atol=1e-6)


def test_a_perturbation_moved_into_place_is_in_band_ball_and_box(data):
    x = data[0]
    change = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for norm, eps in (("l2", 2.0), ("linf", 0.05)):
        for name in ("low", "middle", "ring"):
            settings = one_band(name).bands[name]
            moved, placed = confined.confine(change, x, Ball(norm, eps), confined.projection(settings, *SHAPE[1:]))
            assert placed.sum() >= 9
            assert (outside(moved[placed], name) <= 1e-4 + 1e-8).all()
            assert (x + moved).min() >= 0 and (x + moved).max() <= 1
            sizes = moved.flatten(1).norm(dim=1) if norm == "l2" else moved.flatten(1).abs().amax(1)
            assert sizes.max() <= eps + 1e-6 and sizes[placed].min() > 0.2 * eps


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (band(20, 30), "expected high <= 14 shells"),
        (band(0.5, 0.501, unit="fraction"), "expected a band at least one shell wide"),
        (band(0, 14, keep="outside"), "expected a band that keeps a coefficient"),
        ({"keep": "lowest", "ratio": 0.03}, "expected a ratio that keeps a coefficient of 12 x 14 images, got 0.03"),
    ],
)
def test_a_band_without_coefficients_is_refused(bad, message, data):
    with pytest.raises(ValueError, match=f"bands.empty: {message}"):
        suite.run(settings_of(CONFINED, bands={"empty": bad}), model, *data, seed=0)


def test_the_lowest_coefficients_are_a_share_of_rows_and_of_columns():
    assert torch.equal(confined.lowest(0.4, *SHAPE[1:]), mask_of("lowest"))
    assert confined.lowest(1.0, *SHAPE[1:]).all()


# ---- one Fourier direction


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (3, 5), (6, 7), (11, 2)])
@pytest.mark.parametrize("size", [{"norm": "l2", "eps": 0.5}, {"norm": "linf", "eps_255": 16}], ids=["l2", "linf"])
def test_a_fourier_direction_is_one_coefficient_and_its_mirror_for_all_images(row, column, size):
    x = torch.full((3, *SHAPE), 0.5)
    settings = settings_of({"method": "fourier", "n_images": 3, "row": row, "column": column, **size})
    outcome = suite.run(
        settings,
        lambda x: -(x - 0.5).abs().sum((1, 2, 3))[:, None] * torch.tensor([1.0, 0]),
        x,
        torch.zeros(3, dtype=int),
        0,
    )
    assert outcome.success.all() and not outcome.queries.any()
    power = np.abs(np.fft.fft2(outcome.perturbation.double().numpy())) ** 2
    pair = power[..., row, column] + (power[..., -row, -column] if (2 * row % 12, 2 * column % 14) != (0, 0) else 0)
    np.testing.assert_allclose(pair / power.sum((-2, -1)), 1, rtol=1e-5)
    sizes = outcome.l2 if settings.norm == "l2" else outcome.linf
    np.testing.assert_allclose(sizes, settings.ball.eps, rtol=1e-5)
    assert torch.equal(outcome.perturbation[0], outcome.perturbation[2])
    assert torch.equal(outcome.perturbation[:, 0], outcome.perturbation[:, 1])


@pytest.mark.parametrize(
    ("change", "message"), [({"row": 12}, "row: .*below 12"), ({"column": 14}, "column: .*below 14")]
)
def test_a_frequency_that_the_image_does_not_have_is_refused(change, message, data):
    entry = {"method": "fourier", "n_images": 3, "norm": "l2", "eps": 1.0, "row": 0, "column": 1, **change}
    with pytest.raises(ValueError, match=message):
        suite.run(settings_of(entry), model, *data, seed=0)


# ---- controls


@pytest.mark.parametrize("kind", [*KINDS, "other_image"])
@pytest.mark.parametrize("size", [{"norm": "l2", "eps": 2.0}, {"norm": "linf", "eps_255": 40}], ids=["l2", "linf"])
def test_every_control_has_exactly_its_size_and_asks_nothing(kind, size, data):
    settings = settings_of({**NOISE, **size, "kinds": [kind]})
    seen = []

    def last(z):
        seen.append(z)
        return model(z)

    outcome = suite.run(settings, last, *data, seed=0)
    change = (seen[-1] - data[0]).double().flatten(1)  # of the pass that verifies: failed ones too
    sizes = change.norm(dim=1) if settings.norm == "l2" else change.abs().amax(1)
    torch.testing.assert_close(sizes, torch.full_like(sizes, settings.ball.eps), rtol=1e-6, atol=0)
    assert len(seen) == 2 and not outcome.queries.any()


def test_all_kinds_run_as_variants_of_one_entry(data):
    settings = settings_of({**NOISE, "norm": "l2", "eps": 1.0, "kinds": ["gaussian", "other_image", "pink"]})
    assert [name for name, _ in parts(settings)] == ["gaussian", "other_image", "pink"]
    table = pd.concat([rows for _, rows in suite.run_entry(settings, model, *data, seed=0)])
    assert table["variant"].unique().tolist() == ["gaussian", "other_image", "pink"]


def drawn(kind, n=400, shape=(1, 16, 16)):
    return torch.stack([KINDS[kind](shape, machine.generator(7, row)) for row in range(n)])


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "sign"])
def test_white_noise_has_a_flat_spectrum(kind):
    power = dct2(drawn(kind)).square().mean((0, 1))
    torch.testing.assert_close(power / power.mean(), torch.ones(16, 16), rtol=0, atol=0.35)


def test_the_kinds_differ_in_the_distribution_of_their_pixels():
    kurtosis = {}
    for kind in ("gaussian", "uniform", "sign"):
        pixels = drawn(kind).double()
        kurtosis[kind] = float(pixels.pow(4).mean() / pixels.square().mean() ** 2)
        assert abs(pixels.mean()) < 0.02
    assert kurtosis == pytest.approx({"gaussian": 3, "uniform": 1.8, "sign": 1}, rel=0.03)


def test_pink_noise_falls_as_one_over_f():
    noise = drawn("pink")
    power = torch.fft.fft2(noise.double()).abs().square().mean((0, 1))
    f = torch.hypot(torch.fft.fftfreq(16)[:, None], torch.fft.fftfreq(16)[None]).double()
    assert power[0, 0] < 1e-6
    product = (power * f)[f > 0]
    torch.testing.assert_close(product / product.mean(), torch.ones_like(product), rtol=0, atol=0.35)
    slope = np.polyfit(f[f > 0].log().numpy(), power[f > 0].log().numpy(), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


def test_the_other_image_is_the_one_before(data):
    x, labels = data[0][3:], data[1][3:]
    settings = settings_of({**NOISE, "norm": "l2", "eps": 0.5, "kinds": ["other_image"]})
    seen = []

    def watched(z):
        seen.append(z)
        return model(z)

    suite.run(settings, watched, x, labels, seed=0, batch_size=3)
    change = torch.cat(seen[1::2]) - x
    towards = x[[1, *range(6)]] - x
    torch.testing.assert_close(
        change, 0.5 * towards / towards.flatten(1).norm(dim=1)[:, None, None, None], rtol=0, atol=1e-5
    )


def test_a_size_that_the_clip_leaves_no_room_for_is_refused(data):
    with pytest.raises(ValueError, match=r"gaussian: expected an eps that the clip .* leaves room for, .* got 50"):
        suite.run(settings_of({**NOISE, "norm": "l2", "eps": 50, "kinds": ["gaussian"]}), model, *data, seed=0)
