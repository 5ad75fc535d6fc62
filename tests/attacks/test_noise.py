"""Controls: exactly an attack's size, and the spectrum and distribution that their names say."""

import numpy as np
import pandas as pd
import pytest
import torch
from attack_cases import settings_of
from band_cases import images, model

from spectroscope.attacks import runner
from spectroscope.attacks.noise import KINDS
from spectroscope.attacks.registry import expand_variants
from spectroscope.frequency.spectrum import dct2
from spectroscope.pipeline import machine

NOISE = {"method": "noise"}
DATA = images()


@pytest.mark.parametrize("kind", [*KINDS, "other_image"])
@pytest.mark.parametrize("size", [{"norm": "l2", "eps": 2.0}, {"norm": "linf", "eps_255": 40}], ids=["l2", "linf"])
def test_every_control_has_exactly_its_size_and_asks_nothing(kind, size):
    settings = settings_of({**NOISE, **size, "kinds": [kind]})
    queries = []

    def watched(z):
        queries.append(z)
        return model(z)

    outcome = runner.run(settings, watched, *DATA, seed=0)
    change = (queries[-1] - DATA[0]).double().flatten(1)  # of the pass that verifies: failed ones too
    sizes = change.norm(dim=1) if settings.norm == "l2" else change.abs().amax(1)
    torch.testing.assert_close(sizes, torch.full_like(sizes, settings.ball.eps), rtol=1e-6, atol=0)
    assert len(queries) == 2 and not outcome.queries.any()


def test_all_kinds_run_as_variants_of_one_entry():
    settings = settings_of({**NOISE, "norm": "l2", "eps": 1.0, "kinds": ["gaussian", "other_image", "pink"]})
    assert [name for name, _ in expand_variants(settings)] == ["gaussian", "other_image", "pink"]
    table = pd.concat([rows for _, rows in runner.run_entry(settings, model, *DATA, seed=0)])
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


def test_noise_is_not_the_random_start_of_an_attack_on_the_same_image():
    """A control in the direction of the start it is compared with would be no control."""
    x, labels = DATA[0][5:], DATA[1][5:]

    def second_query(settings):
        queries = []

        def watched(z):
            queries.append(z.detach())
            return model(z) + 100 * torch.nn.functional.one_hot(labels, 4)  # never fooled

        runner.run(settings, watched, x, labels, seed=0)
        return (queries[1] - x).double().flatten(1)

    radius = {"norm": "linf", "eps_255": 8}
    steps = {"step_255": 2, "steps": 1, "direction": "sign"}
    pgd = {"method": "pgd", "target": None, "random_start": True, "momentum": 0, "stop_early": False, **radius, **steps}
    start, noise = (second_query(settings_of(entry)) for entry in (pgd, {**NOISE, **radius, "kinds": ["uniform"]}))
    alike = torch.nn.functional.cosine_similarity(start, noise)
    assert alike.abs().max() < 0.2  # 504 pixels: a standard deviation of 0.045


def test_the_other_image_is_the_one_before():
    x, labels = DATA[0][3:], DATA[1][3:]
    settings = settings_of({**NOISE, "norm": "l2", "eps": 0.5, "kinds": ["other_image"]})
    queries = []

    def watched(z):
        queries.append(z)
        return model(z)

    runner.run(settings, watched, x, labels, seed=0, batch_size=3)
    change = torch.cat(queries[1::2]) - x
    towards = x[[1, *range(6)]] - x
    torch.testing.assert_close(
        change, 0.5 * towards / towards.flatten(1).norm(dim=1)[:, None, None, None], rtol=0, atol=1e-5
    )


def test_a_size_that_the_clip_leaves_no_room_for_is_refused():
    with pytest.raises(ValueError, match=r"gaussian: expected an eps that the clip .* leaves room for, .* got 50"):
        runner.run(settings_of({**NOISE, "norm": "l2", "eps": 50, "kinds": ["gaussian"]}), model, *DATA, seed=0)


def test_an_image_without_room_for_its_control_has_failed_and_stops_no_other():
    pixels, labels = DATA[0].clone(), DATA[1]
    pixels[3] = pixels[2]  # equal neighbours: the control of the second goes nowhere
    settings = settings_of({**NOISE, "norm": "linf", "eps_255": 8, "kinds": ["other_image"]})
    outcome, whole = (runner.run(settings, model, x, labels, seed=0) for x in (pixels, DATA[0]))
    assert not outcome.success[3] and not outcome.perturbation[3].any()
    assert torch.equal(outcome.perturbation[:2], whole.perturbation[:2])
