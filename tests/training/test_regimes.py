"""Each regime does what it says: its transform, adversary or regulariser, and its settings."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.frequency.passbands import band_filter
from spectroscope.frequency.spectrum import dct2, dft2, shells
from spectroscope.pipeline import params
from spectroscope.training.adversary import cross_entropy, pgd_adversary
from spectroscope.training.regimes import trades
from spectroscope.training.regimes.frequencies import Frequencies
from spectroscope.training.regimes.registry import HOOKS, Regime, build_hooks
from tests.trainings import random, settings

LOW = {"basis": "dct", "shape": "linf", "low": 0, "high": 0.25}
HIGH = {"basis": "dct", "shape": "linf", "low": 0.5, "high": 1}
LINF = {"name": "adversarial", "norm": "linf", "eps_255": 8, "step_255": 2, "steps": 5, "random_start": True}
L2 = {"name": "adversarial", "norm": "l2", "eps": 0.5, "step_size": 0.2, "steps": 5, "random_start": True}
VALIDATION = settings().validation_attack

EXAMPLES = {
    "standard": {},
    "adversarial": {key: value for key, value in LINF.items() if key != "name"},
    "confined": {"frequencies": LOW, "adversary": LINF},
    "trades": {"beta": 6, "adversary": L2},
    "gaussian": {"std_255": 8, "share": 1},
    "filtered": {"frequencies": LOW, "share": 0.5},
    "swap": {"frequencies": HIGH, "share": 1},
    "gradient_penalty": {"frequencies": HIGH, "weight": 1},
}


def load(**values):
    return params.validate(values, Regime, "regime")


def hooks(size=16, **values):
    return build_hooks(load(**values), VALIDATION, size, size)


def outside(delta, frequencies):
    """Share of each image's energy outside these frequencies: (N,)."""
    kept = band_filter(delta, Frequencies(**frequencies).band)
    return 1 - kept.square().flatten(1).sum(1) / delta.square().flatten(1).sum(1)


@pytest.fixture(scope="module")
def images():
    """Images away from both ends of [0, 1], 16 x 16."""
    return 0.2 + 0.6 * torch.rand(12, 3, 16, 16, generator=random())


@pytest.fixture(scope="module")
def labels():
    return torch.arange(12) % 3


@pytest.fixture(scope="module")
def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3)).double()


# ---- transforms


def test_a_low_pass_removes_the_energy_above_its_cut_and_nothing_below(images, labels):
    filtered = hooks(name="filtered", frequencies=LOW, share=1).transform(images, labels, random())
    index = shells(16, 16)
    assert dct2(filtered)[..., index >= 4].abs().max() < 1e-5
    torch.testing.assert_close(dct2(filtered)[..., index < 4], dct2(images)[..., index < 4], atol=1e-5, rtol=0)


def test_a_high_pass_keeps_negative_values_and_the_energy_above_its_cut(images, labels):
    filtered = hooks(name="filtered", frequencies=HIGH, share=1).transform(images, labels, random())
    index = shells(16, 16)
    assert dct2(filtered)[..., index < 8].abs().max() < 1e-5 and filtered.min() < -0.1
    torch.testing.assert_close(dct2(filtered)[..., index >= 8], dct2(images)[..., index >= 8], atol=1e-5, rtol=0)


def test_frequencies_may_be_those_of_the_dft(images, labels):
    radial = {"basis": "dft", "shape": "radial", "low": 0, "high": 0.5}
    filtered = hooks(name="filtered", frequencies=radial, share=1).transform(images, labels, random())
    beyond = shells(16, 16, "radial", "dft")[:, :9] >= 6
    assert dft2(filtered)[..., beyond].abs().max() < 1e-5 < dft2(filtered)[..., ~beyond].abs().min()


@pytest.mark.parametrize("name", ["filtered", "gaussian", "swap"])
def test_a_share_of_the_images_is_changed_and_the_rest_is_not(name):
    images, labels = torch.rand(600, 1, 8, 8, generator=random()), torch.arange(600) % 2
    before = images.clone()
    some, every = (hooks(8, name=name, **{**EXAMPLES[name], "share": share}).transform for share in (0.3, 1.0))
    changed = (some(images, labels, random(1)) != images).flatten(1).any(1)
    assert abs(float(changed.float().mean()) - 0.3) < 0.06
    assert (every(images, labels, random(1)) != images).flatten(1).any(1).all()
    assert torch.equal(images, before)
    again, other = some(images, labels, random(1)), some(images, labels, random(2))
    assert torch.equal((again != images).flatten(1).any(1), changed) and not torch.equal(again, other)


def test_gaussian_noise_has_its_deviation_is_white_and_not_clipped(labels):
    images = torch.ones(200, 1, 16, 16)
    noisy = hooks(name="gaussian", std_255=51, share=1).transform(images, labels, random())
    noise = noisy - images
    assert abs(float(noise.std()) - 0.2) < 0.002 and abs(float(noise.mean())) < 0.002 and noisy.max() > 1.5
    power = dct2(noise).square().mean((0, 1))
    index = shells(16, 16)
    assert float(power[index < 8].mean() / power[index >= 8].mean()) == pytest.approx(1, abs=0.03)


def test_a_swap_keeps_the_low_frequencies_and_takes_the_high_ones_of_another_class(images, labels):
    swapped = hooks(name="swap", frequencies=HIGH, share=1).transform(images, labels, random(3))
    high, spectra = shells(16, 16) >= 8, dct2(images)
    torch.testing.assert_close(dct2(swapped)[..., ~high], spectra[..., ~high], atol=1e-5, rtol=0)
    partners = []
    for label, spectrum in zip(labels, dct2(swapped)[..., high], strict=True):
        distances = (spectra[..., high] - spectrum).abs().flatten(1).max(1).values
        partner = int(distances.argmin())
        assert distances[partner] < 1e-5 and labels[partner] != label
        partners.append(partner)
    assert len(set(partners)) > 4


def test_without_another_class_in_the_batch_a_swap_changes_nothing(images):
    swapped = hooks(name="swap", frequencies=HIGH, share=1).transform(images, torch.zeros(12).long(), random())
    torch.testing.assert_close(swapped, images, atol=1e-6, rtol=0)


# ---- adversaries


@pytest.mark.parametrize("regime", [LINF, L2], ids=["linf", "l2"])
def test_settings_are_in_the_units_of_their_names(linear, images, labels, regime):
    eps, step = {"linf": (8 / 255, 2 / 255), "l2": (0.5, 0.2)}[regime["norm"]]
    expected = pgd_adversary(regime["norm"], eps, step, 5, True)(linear, images.double(), labels, random())
    assert torch.equal(hooks(**regime).adversary(linear, images.double(), labels, random()), expected)


@pytest.mark.parametrize(
    ("regime", "expected"),
    [
        ({**LINF, "eps_255": 2, "step_255": 2.5, "steps": 1}, ("linf", 2 / 255, 1 / 255)),
        (L2, ("l2", 0.5, 0.25)),
        ({"name": "trades", "beta": 6, "adversary": L2}, ("l2", 0.5, 0.25)),
    ],
    ids=["linf", "l2", "trades"],
)
def test_the_own_attack_has_the_regimes_ball_and_the_validation_attacks_steps(linear, images, labels, regime, expected):
    assert (VALIDATION.eps_255, VALIDATION.step_255, VALIDATION.steps) == (8, 4, 2)
    x = images.double()
    wanted = pgd_adversary(*expected, 2, True)(linear, x, labels, random())
    assert torch.equal(hooks(**regime).own_attack(linear, x, labels, random()), wanted)


def test_the_own_attack_of_a_confined_regime_is_confined(linear, images, labels):
    own = hooks(name="confined", frequencies=LOW, adversary=L2).own_attack
    change = own(linear, images.double(), labels, random()) - images.double()
    assert outside(change, LOW).max() < 1e-9 and change.flatten(1).norm(dim=1).max() == pytest.approx(0.5)


@pytest.mark.parametrize("adversary", [LINF, L2], ids=["linf", "l2"])
@pytest.mark.parametrize("frequencies", [LOW, HIGH], ids=["low", "high"])
def test_a_confined_adversary_stays_in_band_ball_and_box(linear, images, labels, adversary, frequencies):
    x = images.double()
    confined = hooks(name="confined", frequencies=frequencies, adversary=adversary).adversary
    delta = confined(linear, x, labels, random()) - x
    order, eps = (2, 0.5) if adversary is L2 else (math.inf, 8 / 255)
    assert delta.flatten(1).norm(dim=1, p=order).max() <= eps + 1e-9
    assert (x + delta).min() >= 0 and (x + delta).max() <= 1
    assert outside(delta, frequencies).max() < (1e-9 if adversary is L2 else 0.02)
    free = hooks(**adversary).adversary(linear, x, labels, random()) - x
    assert outside(free, frequencies).min() > 0.2


@pytest.mark.parametrize("adversary", [LINF, L2], ids=["linf", "l2"])
def test_a_confined_adversary_raises_the_loss(linear, images, labels, adversary):
    x = images.double()
    confined = hooks(name="confined", frequencies=HIGH, adversary=adversary).adversary
    clean, attacked = (
        F.cross_entropy(linear(batch), labels, reduction="none") for batch in (x, confined(linear, x, labels, random()))
    )
    assert (attacked > clean).all()


# ---- regularisers


def trades_by_hand(model, x, attacked, beta):
    """Zhang et al. 2019, Eq. 5: beta times the mean over images of sum_k p_k (log p_k - log p'_k)."""
    p, q = model(x).softmax(1), model(attacked).softmax(1)
    return beta * (p * (p.log() - q.log())).sum(1).mean()


def test_trades_is_its_formula_in_value_and_gradient(linear, images, labels, monkeypatch):
    x, mirrored = images.double(), images.double().flip(-1)
    monkeypatch.setattr(trades, "build_adversary", lambda settings, loss: lambda model, x, logits, generator: mirrored)
    regulariser = hooks(name="trades", beta=6, adversary=LINF).regulariser
    value = regulariser(linear, x.clone().requires_grad_(), labels, linear(x), random())
    expected = trades_by_hand(linear, x, mirrored, 6.0)
    torch.testing.assert_close(value, expected)
    gradient, by_hand = (torch.autograd.grad(loss, linear[1].weight)[0] for loss in (value, expected))
    torch.testing.assert_close(gradient, by_hand)
    assert by_hand.abs().max() > 1e-3


def test_the_adversary_of_trades_climbs_the_divergence(linear, images, labels):
    x = images.double()
    still, climbing = (
        hooks(name="trades", beta=1, adversary={**LINF, "step_255": step}).regulariser(
            linear, x, labels, linear(x), random()
        )
        for step in (1e-9, 2)
    )
    assert climbing.item() > 5 * still.item() > 0
    by_hand = pgd_adversary("linf", 8 / 255, 2 / 255, 5, True, trades.kl_divergence)
    expected = trades_by_hand(linear, x, by_hand(linear, x, linear(x).detach(), random()), 1)
    torch.testing.assert_close(climbing, expected)


def test_the_divergence_is_zero_only_between_equal_predictions():
    logits, others = torch.randn(5, 4, generator=random()), torch.randn(5, 4, generator=random(1))
    assert trades.kl_divergence(logits, logits + 3).abs() < 1e-5  # a shift of all logits changes no probability
    assert trades.kl_divergence(logits, others) > 0.1
    assert not torch.isclose(trades.kl_divergence(logits, others), trades.kl_divergence(others, logits))


def smooth(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 3)).double()


@pytest.mark.parametrize("frequencies", [LOW, HIGH, {**LOW, "low": 0.25, "high": 0.5}], ids=["low", "high", "middle"])
def test_the_gradient_penalty_and_its_gradient_equal_finite_differences(frequencies):
    model, labels = smooth(), torch.tensor([0, 2])
    x = torch.rand(2, 1, 8, 8, generator=random(), dtype=torch.float64)
    penalise = hooks(8, name="gradient_penalty", frequencies=frequencies, weight=3).regulariser
    inside = (shells(8, 8) >= 8 * frequencies["low"]) & (shells(8, 8) < 8 * frequencies["high"])

    def penalty():
        images = x.clone().requires_grad_()
        return penalise(model, images, labels, model(images), random())

    slopes = torch.zeros_like(x)
    for image, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(8), torch.arange(8)):
        step = torch.zeros_like(x)
        step[image, 0, row, column] = 1e-5
        up, down = (cross_entropy(model(x + sign * step), labels).detach() for sign in (1, -1))
        slopes[image, 0, row, column] = (up - down) / 2e-5
    expected = 3 * dct2(slopes)[..., inside].square().sum() / 2
    torch.testing.assert_close(penalty().detach(), expected, rtol=1e-5, atol=0)

    weight = model[1].weight
    (gradient,) = torch.autograd.grad(penalty(), weight)
    for row, column in ((0, 0), (3, 40), (5, 63)):
        with torch.no_grad():
            values = []
            for sign in (1, -2):
                weight[row, column] += sign * 1e-5
                with torch.enable_grad():
                    values.append(float(penalty().detach()))
            weight[row, column] += 1e-5
        assert float(gradient[row, column]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-9)


# ---- registry and settings

FILLED = {"standard": "", "adversarial": "adversary own_attack", "confined": "adversary own_attack"}
FILLED |= {"trades": "regulariser own_attack", "gaussian": "transform", "filtered": "transform", "swap": "transform"}
FILLED |= {"gradient_penalty": "regulariser"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_regime_fills_its_own_hooks_and_no_others(name):
    filled = {hook for hook, value in hooks(name=name, **EXAMPLES[name])._asdict().items() if value}
    assert filled == set(FILLED[name].split())


def test_every_regime_that_trains_has_hooks():
    kinds = {type(load(name=name, **settings)) for name, settings in EXAMPLES.items()}
    assert kinds | {type(load(**L2))} == set(HOOKS)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("adversarial", {"eps_255": 0}, r"regime\.eps_255: expected a number greater than 0, got 0"),
        ("adversarial", {"eps_255": 256}, r"regime\.eps_255: expected a number less than or equal to 255, got 256"),
        ("adversarial", {"eps_255": "8/255"}, r"regime\.eps_255: expected a valid number, got '8/255'"),
        ("adversarial", {"step_255": math.inf}, r"regime\.step_255: expected a finite number, got inf"),
        ("adversarial", {"steps": 0}, r"regime\.steps: expected a number greater than or equal to 1, got 0"),
        ("adversarial", {"eps": 0.03}, r"regime\.eps: unknown setting"),
        ("adversarial", {"norm": "l1"}, r"regime\.norm: expected one of 'linf', 'l2', got 'l1'"),
        ("standard", {"eps_255": 8}, r"regime\.eps_255: unknown setting"),
        ("trades", {"beta": 0}, r"regime\.beta: expected a number greater than 0, got 0"),
        ("trades", {"adversary": {**LINF, "eps_255": 0}}, r"regime\.adversary\.eps_255: .* greater than 0, got 0"),
        ("trades", {"adversary": {**LINF, "random_start": False}}, r"adversary: expected random_start true, got false"),
        ("trades", {"adversary": {"name": "standard"}}, r"regime\.adversary\.norm: expected this setting, found none"),
        ("confined", {"adversary": {**L2, "eps": 0}}, r"regime\.adversary\.eps: .* greater than 0, got 0"),
        ("gaussian", {"std_255": 0}, r"regime\.std_255: expected a number greater than 0, got 0"),
        ("filtered", {"share": 0}, r"regime\.share: expected a number greater than 0, got 0"),
        ("filtered", {"share": 1.5}, r"regime\.share: .* less than or equal to 1, got 1\.5"),
        (
            "filtered",
            {"frequencies": {**LOW, "low": 0.3}},
            r"frequencies: expected low < high, got low 0\.3 and high 0",
        ),
        ("filtered", {"frequencies": {**LOW, "high": 1}}, r"frequencies: expected a part of the frequencies, got all"),
        ("swap", {"frequencies": {**LOW, "high": 1.2}}, r"frequencies\.high: .* less than or equal to 1, got 1\.2"),
        ("swap", {"frequencies": {**LOW, "shape": "square"}}, r"frequencies\.shape: expected 'linf'.*, got 'square'"),
        ("gradient_penalty", {"weight": -1}, r"regime\.weight: expected a number greater than 0, got -1"),
        ("gradient_penalty", {"penalty": "high"}, r"regime\.penalty: unknown setting"),
        (
            "gradient_penalty",
            {"name": "gradient-penalty"},
            r"regime\.name: expected one of .*'gradient_penalty'.*, got",
        ),
    ],
)
def test_a_bad_regime_names_its_setting(name, change, message):
    with pytest.raises(ValueError, match=message):
        load(**{"name": name, **EXAMPLES[name], **change})


def test_frequencies_without_a_coefficient_of_these_images_are_refused_before_training():
    narrow = load(name="filtered", frequencies={**LOW, "high": 0.02}, share=1)
    with pytest.raises(ValueError, match=r"regime\.frequencies: expected a band at least one shell wide, got shells 0"):
        build_hooks(narrow, VALIDATION, 16, 16)
