"""Projected steps against a loop written out, and what momentum, early stop and directions change."""

import pytest
import torch
from attack_cases import linear, settings_of, trained

from spectroscope.attacks import runner
from spectroscope.attacks.counting_model import log_odds
from spectroscope.attacks.pgd import pgd, projected_gradient
from spectroscope.frequency import balls
from spectroscope.training.adversary import pgd_adversary

SHAPE = (3, 4, 4)
WEIGHTS = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def curved(x):
    """Three logits whose gradient turns with x."""
    return torch.stack([(torch.sin(3 * x * weight) * weight).flatten(1).sum(1) for weight in WEIGHTS], 1)


def odds_gradient(x, labels):
    x = x.clone().requires_grad_()
    logits = curved(x)
    probability = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(torch.log(probability / (1 - probability)).sum(), x)
    return -gradient


def test_a_row_that_is_left_out_stays_where_it_is():
    """Four numbers walk by 1 up to 10: two are left out by the gradient, one where its step is not allowed."""
    asked = []

    def gradient(z, rows):
        asked.append(rows.tolist())
        rows = rows[(z[rows].flatten(1)[:, 0] < 2) | (rows >= 2)]
        return rows, torch.ones_like(z[rows])

    def allowed(change, rows):
        fits = (change.flatten(1)[:, 0] <= 4) | (rows != 2)
        return rows[fits], change[fits].clamp(max=10)

    x = torch.zeros(4, 1, 1, 1)
    z = projected_gradient(gradient, x, x + torch.tensor([0.0, 1, 2, 9])[:, None, None, None], 5, lambda g: g, allowed)
    assert z.flatten().tolist() == [2, 2, 4, 10] and not x.any()
    assert asked == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3], [3], [3]]


def walk(x, labels, momentum, direction, steps, eps, size):
    z, accumulated = x.clone(), 0
    for _ in range(steps):
        gradient = odds_gradient(z, labels)
        if momentum:
            accumulated = momentum * accumulated + gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
            gradient = accumulated
        if direction == "sign":
            step = size * gradient.sign()
        elif direction == "l2":
            step = size * gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
        else:
            step = size * gradient
        z = torch.minimum(torch.maximum(z + step, x - eps), x + eps).clamp(0, 1)
    return z


@pytest.mark.parametrize(
    ("direction", "momentum"), [("sign", 0), ("sign", 1.0), ("sign", 0.5), ("l2", 0), ("l2", 0.9), ("raw", 0)]
)
def test_pgd_is_the_loop_of_the_papers(direction, momentum):
    x = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    labels = curved(x).argmax(1)
    settings = settings_of(
        "pgd-linf", direction=direction, momentum=momentum, random_start=False, eps_255=60, step_255=20, steps=4
    )
    outcome = runner.run(settings, curved, x, labels, seed=0)
    expected = walk(x.double(), labels, momentum, direction, 4, 60 / 255, 20 / 255)
    assert outcome.success.sum() >= 3
    fooled = outcome.success
    torch.testing.assert_close((x + outcome.perturbation)[fooled].double(), expected[fooled], rtol=0, atol=1e-5)


def test_an_image_that_is_fooled_takes_no_further_query_and_stays_nearer(model, data):
    settings = (settings_of("pgd-l2", stop_early=stop, random_start=False) for stop in (True, False))
    on, off = (runner.run(one, model, *data, seed=3) for one in settings)
    assert on.success.sum() >= off.success.sum()
    assert on.queries[on.success].float().mean() < off.queries[on.success].float().mean() == 10
    both = on.success & off.success
    assert on.l2[both].mean() < 0.9 * off.l2[both].mean()


def test_the_direction_changes_the_spectrum_and_not_the_success_of_an_unbounded_attack(model, few):
    for direction in ("sign", "l2"):
        settings = settings_of("pgd-linf", eps_255=255, step_255=20, steps=40, direction=direction)
        outcome = runner.run(settings, model, *few, seed=3)
        assert torch.equal(outcome.success, outcome.before == few[1])


@pytest.mark.parametrize("case", ["pgd-linf", "pgd-l2"])
def test_the_random_start_is_inside_the_ball_and_new_for_each_image(case):
    queries = []

    def watched(x):
        queries.append(x.detach().clone())
        return linear(x)

    x = torch.full((5, 3, 12, 12), 0.5)
    runner.run(settings_of(case), watched, x, torch.zeros(5, dtype=torch.int64), seed=0)
    start = (queries[1] - x).flatten(1)
    ball = settings_of(case).ball
    sizes = start.abs().amax(1) if ball.norm == "linf" else start.norm(dim=1)
    assert (sizes > 0).all() and sizes.max() <= ball.eps + 1e-6
    assert len({float(row[0]) for row in start}) == 5
    queries.clear()
    runner.run(settings_of(case, random_start=False), watched, x, torch.zeros(5, dtype=torch.int64), seed=0)
    assert torch.equal(queries[1], x)


# ---- the public function

SIZES = {
    "linf": {"eps": 8 / 255, "step_size": 2 / 255},
    "l2": {"eps": 0.5, "step_size": 0.15},
    "l1": {"eps": 6.0, "step_size": 2.0},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [True, False])
def test_attack_and_adversarial_training_take_the_same_steps_from_the_same_start(model, few, norm, random_start):
    sizes = SIZES[norm]
    ours = pgd(model, *few, **sizes, steps=5, norm=norm, random_start=random_start, generator=seeded())
    adversary = pgd_adversary(
        *(norm, sizes["eps"], sizes["step_size"], 5, random_start),
        loss=lambda logits, labels: -log_odds(logits, labels).sum(),  # the attack's, in the direction of cross-entropy
    )
    assert torch.equal(ours, adversary(model, *few, seeded()))
    assert (ours - few[0]).abs().max() > 0


@pytest.mark.parametrize("norm", SIZES)
def test_the_public_function_is_the_attack_of_the_registry(model, few, norm):
    direction = "sign" if norm == "linf" else "l2"
    sizes = {"eps_255": 8.0, "step_255": 2.0} if norm == "linf" else SIZES[norm]
    changes = {**sizes, "random_start": False, "direction": direction, "momentum": 0, "stop_early": False, "steps": 7}
    outcome = runner.run(settings_of(f"pgd-{norm}", **changes), model, *few, seed=0)
    z = pgd(model, *few, **SIZES[norm], steps=7, norm=norm, random_start=False)
    fooled = outcome.success
    assert fooled.sum() > 3
    torch.testing.assert_close((z - few[0])[fooled], outcome.perturbation[fooled], rtol=0, atol=1e-6)
    assert balls.norms(z - few[0], norm).max() <= SIZES[norm]["eps"] + 1e-5 and z.min() >= 0 and z.max() <= 1


def test_a_network_keeps_its_mode_its_weights_and_its_buffers(few):
    network = trained().train()
    network[2].eval()  # one layer alone
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        pgd(network, *few, **SIZES["linf"], steps=2, generator=seeded())
    assert [layer.training for layer in network] == [layer is not network[2] for layer in network]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


def test_a_start_repeats_with_its_generator_or_with_the_seed_of_torch(few):
    first, again, other = (
        pgd(linear, *few_of_two(few), **SIZES["l2"], steps=1, norm="l2", generator=seeded(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert torch.equal(pgd(linear, *few_of_two(few), **SIZES["l2"], steps=1, norm="l2"), first)


def few_of_two(few):
    return few[0], few[1] % 2


def test_targets_are_approached(model, few):
    targets = (few[1] + 1) % 4
    z = pgd(model, *few, eps=0.2, step_size=0.02, steps=20, targets=targets, random_start=False)
    assert (model(z).argmax(1) == targets).float().mean() > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.full((2, 3, 4, 4), 1.2)}, r"expected images in \[0, 1\], got values 1\.2\.\.1\.2"),
        ({"images": torch.zeros(2, 3, 4, 4).double()}, "expected float32 images"),
        ({"labels": torch.tensor([0, 2])}, r"expected labels 0\.\.1, got 0\.\.2"),
        ({"labels": torch.tensor([0])}, "expected 2 integer labels"),
        ({"targets": torch.tensor([0, 1])}, "expected targets other than the labels, got 2 equal ones"),
        ({"targets": torch.tensor([-1, 1])}, r"expected targets 0\.\.1, got -1\.\.1"),
        ({"eps": -0.1}, "expected eps >= 0, got -0.1"),
        ({"eps": float("nan")}, "expected eps >= 0, got nan"),
        ({"step_size": 0}, "expected step_size > 0, got 0"),
        ({"steps": 0}, "expected steps >= 1, got 0"),
        ({"norm": "l3"}, "expected norm linf, l2, l1, got 'l3'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change, message):
    arguments = {
        "images": torch.full((2, 3, 4, 4), 0.5),
        "labels": torch.tensor([0, 1]),
        "eps": 0.1,
        "step_size": 0.1,
        "steps": 1,
    }
    with pytest.raises(ValueError, match=message):
        pgd(linear_of_four, **{**arguments, **change})


def linear_of_four(x):
    score = (x * torch.linspace(-1, 1, 4)).sum((1, 2, 3))
    return torch.stack([score, -score], 1)
