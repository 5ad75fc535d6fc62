"""NES, SPSA, SimBA and HopSkipJump against one-image loops written after the papers, and their accounts of queries."""

import math

import numpy as np
import pytest
import scipy.fft
import torch

from spectroscope.attacks import estimated as estimation
from spectroscope.attacks import suite
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.settings import AttackSettings
from spectroscope.attacks.simba import _basis
from spectroscope.pipeline import machine, params

SHAPE = (3, 8, 10)
SEARCH = {"n_images": 9, "target": None, "samples": 6, "radius": 0.05, "max_queries": 40}
CASES = {
    "nes-linf": {**SEARCH, "method": "nes", "norm": "linf", "eps_255": 20, "step_255": 5, "momentum": 0.4},
    "nes-l2": {**SEARCH, "method": "nes", "norm": "l2", "eps": 0.8, "step_size": 0.3, "momentum": 0.4},
    "spsa-linf": {**SEARCH, "method": "spsa", "norm": "linf", "eps_255": 20, "step_255": 5},
    "spsa-l2": {**SEARCH, "method": "spsa", "norm": "l2", "eps": 0.8, "step_size": 0.03},
    "hop-skip-jump-l2": {
        "method": "hop_skip_jump",
        "norm": "l2",
        "n_images": 9,
        "eps": None,
        "initial_probes": 15,
        "max_queries": 200,
    },
    "hop-skip-jump-linf": {
        "method": "hop_skip_jump",
        "norm": "linf",
        "n_images": 9,
        "eps_255": None,
        "initial_probes": 15,
        "max_queries": 200,
    },
}
EVERY = pytest.mark.parametrize("case", CASES)


def settings_of(case, **changes):
    return params.validate({**CASES[case], **changes}, AttackSettings, f"attacks.{case}")


def simba_settings(**changes):
    entry = {"method": "simba", "n_images": 9, "target": None, "basis": "dct", "freq_dims": None, "eps_255": None}
    return params.validate({**entry, "step_size": 0.3, "max_queries": 20, **changes}, AttackSettings, "attacks.simba")


def model(x):
    """Four logits by elementwise products and a sum over each image: the same bits in any batch."""
    weights = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    return torch.stack([torch.tanh(((x - 0.5) * weight).flatten(1)).sum(1) for weight in weights], 1)


@pytest.fixture(scope="module")
def data():
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0))
    x[0, :, :3], x[1, :, 4:] = 0, 1
    return x, model(x).argmax(1)


def odds(z, label):
    """Log odds of the label of one image (C, H, W)."""
    logits = model(z[None])[0].double()
    others = torch.cat([logits[:label], logits[label + 1 :]])
    return float(logits[label] - others.logsumexp(0))


def is_fooled(z, label):
    return int(model(z[None]).argmax()) != label


# ---- accounts


@EVERY
@pytest.mark.parametrize("budget", [1, 2, 3, 7, 8, 25, 100])
def test_the_budget_holds_every_query_counts_and_no_gradient_is_taken(case, budget, data):
    seen = []

    def counting(x):
        assert not torch.is_grad_enabled() and not x.requires_grad
        assert x.min() >= 0 and x.max() <= 1
        seen.append(len(x))
        return model(x)

    outcome = suite.run(settings_of(case, max_queries=budget), counting, *data, seed=0)
    assert outcome.queries.max() <= budget
    assert sum(seen) == outcome.queries.sum() + 2 * len(data[0])  # and one before, one that verifies
    spent = outcome.queries[~outcome.success]
    assert (spent >= budget - 2).all()  # a pair of probes and a look at the result is the least that helps


@pytest.mark.parametrize("case", ["nes-linf", "spsa-l2"])
def test_an_image_that_is_fooled_is_asked_no_more(case, data):
    outcome = suite.run(settings_of(case, max_queries=200), model, *data, seed=0)
    spent = outcome.queries[outcome.success]
    assert (spent % 7 == 0).all() and len(set(spent.tolist())) > 1  # whole steps: six probes and one look


# ---- NES and SPSA


def estimated(case, settings, x, label, generator):
    """One image, one step after the other (Ilyas et al. 2018; Uesato et al. 2018, Algorithm 1)."""
    eps, z, spent, step = settings.ball.eps, x.clone(), 0, 0
    velocity, first, second = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    while settings.max_queries - spent >= 3:
        pairs = min(settings.samples // 2, (settings.max_queries - spent - 1) // 2)
        gradient = torch.zeros_like(x)
        for _ in range(pairs):
            if case.startswith("nes"):
                u = torch.randn(x.shape, generator=generator)
            else:
                u = torch.where(torch.randint(0, 2, x.shape, generator=generator) == 1, 1.0, -1.0)
            above = odds((z + settings.radius * u).clamp(0, 1), label)
            below = odds((z - settings.radius * u).clamp(0, 1), label)
            gradient += (above - below) / (2 * settings.radius) * u / pairs
        step += 1
        if case.startswith("nes"):
            velocity = settings.momentum * velocity + gradient
            move = velocity.sign() if case.endswith("linf") else velocity / velocity.norm()
        else:
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        change = z - settings.step_size * move - x
        if case.endswith("linf"):
            change = change.clamp(-eps, eps)
        elif change.norm() > eps:
            change = change * eps / change.norm()
        z = (x + change).clamp(0, 1)
        spent += 2 * pairs + 1
        if is_fooled(z, label):
            break
    return z, spent


@pytest.mark.parametrize("case", ["nes-linf", "nes-l2", "spsa-linf", "spsa-l2"])
def test_estimated_gradients_take_the_steps_of_a_textbook_loop(case, data):
    x, labels = data
    settings = settings_of(case)
    outcome = suite.run(settings, model, x, labels, seed=3)
    assert 0 < outcome.success.sum() < len(x)
    for row in range(len(x)):
        expected, spent = estimated(case, settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row]
        assert bool(outcome.success[row]) == is_fooled(expected, int(labels[row]))
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("draw", [estimation._normal, estimation._signs])
def test_a_pair_of_probes_gives_the_slope_along_them(draw):
    slope = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))

    def plane(x):
        score = ((x - 0.5) * slope).flatten(1).sum(1) / 10
        return torch.stack([score, -score], 1)

    x, labels = torch.full((2, *SHAPE), 0.5), torch.tensor([0, 1])
    predict, rows = CountingModel(plane, x, labels, 2), torch.arange(2)
    generators = [machine.generator(row) for row in range(2)]
    found = estimation._estimate(predict, x, rows, generators, 1, 0.02, draw)
    for row, sign in enumerate((1, -1)):
        u = draw(SHAPE, machine.generator(row))
        torch.testing.assert_close(found[row], sign * (slope * u).sum() / 5 * u, rtol=1e-3, atol=1e-3)
    assert predict.count.tolist() == [2, 2]


# ---- SimBA


def walked(settings, x, label, generator):
    """One image, one direction after the other (Guo et al. 2019, Algorithm 1)."""
    channels, height, width = SHAPE
    rows, columns = (settings.freq_dims or height), (settings.freq_dims or width)
    order = torch.randperm(channels * rows * columns, generator=generator)[: settings.max_queries].tolist()
    if settings.basis == "random":
        vertical, horizontal = (_basis("random", size, generator).double() for size in (height, width))
    z, best, spent = x.clone(), odds(x, label), 1
    for index in order * 10:
        channel, row, column = np.unravel_index(index, (channels, rows, columns))
        unit = torch.zeros(height, width, dtype=torch.float64)
        unit[row, column] = 1
        if settings.basis == "dct":
            unit = torch.from_numpy(scipy.fft.idctn(unit.numpy(), norm="ortho"))
        if settings.basis == "random":
            unit = torch.outer(vertical[row], horizontal[column])
        for sign in (1, -1):
            if spent == settings.max_queries:
                return z, spent
            tried = z.clone()
            tried[channel] += (sign * settings.step_size * unit).float()
            tried, spent = tried.clamp(0, 1), spent + 1
            if is_fooled(tried, label):
                return tried, spent
            if odds(tried, label) < best:
                z, best = tried, odds(tried, label)
                break
    return z, spent


@pytest.mark.parametrize("changes", [{"basis": "pixel"}, {}, {"freq_dims": 4}, {"basis": "random"}])
def test_simba_takes_the_steps_of_a_textbook_loop(changes, data):
    x, labels = data
    settings = simba_settings(**changes)
    outcome = suite.run(settings, model, x, labels, seed=3)
    assert 0 < outcome.success.sum() < len(x)
    for row in range(len(x)):
        expected, spent = walked(settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row]
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=2e-6)


def test_the_random_basis_is_orthonormal_of_each_generator_s_own_and_white():
    bases = torch.stack([_basis("random", 8, machine.generator(0, row)) for row in range(400)])
    torch.testing.assert_close(bases @ bases.mT, torch.eye(8).expand(400, 8, 8), rtol=0, atol=1e-5)
    power = torch.from_numpy(scipy.fft.dct(bases.numpy(), norm="ortho")).square()
    torch.testing.assert_close(power.mean((0, 1)), torch.full((8,), 1 / 8), rtol=0.1, atol=0)
    torch.testing.assert_close(power[:, 0].mean(0), torch.full((8,), 1 / 8), rtol=0.3, atol=0)
    assert bases[:, 0, 0].mean().abs() < 0.06  # either sign: QR alone prefers one


def test_simba_keeps_a_step_that_fools_though_the_label_grows_likelier():
    def odd(x):
        moved = ((x - 0.5).flatten(1).abs().sum(1) > 1e-3)[:, None]
        return torch.where(moved, torch.tensor([1.0, 1.1, -5, -5]), torch.tensor([1.0, 0.9, 0.9, 0.9]))

    outcome = suite.run(simba_settings(), odd, torch.full((2, *SHAPE), 0.5), torch.tensor([0, 0]), seed=0)
    assert outcome.success.all() and outcome.queries.tolist() == [2, 2]


# ---- HopSkipJump


def jumped(settings, x, label, generator):
    """One image, one query after the other (Chen et al. 2020, Algorithms 1 and 2)."""
    budget, l2, d, spent = settings.max_queries, settings.norm == "l2", x.numel(), 0
    theta = d**-1.5 if l2 else d**-2.0

    def size(change):
        return float(change.norm() if l2 else change.abs().max())

    def ask(z):
        nonlocal spent
        if spent == budget:
            return False
        spent += 1
        return is_fooled(z, label)

    def boundary(z):
        change = z - x
        wide = change.abs().max()

        def at(share):
            nearer = share * change if l2 else change.clamp(-share * wide, share * wide)
            return (x + (change if share == 1 else nearer)).clamp(0, 1)

        low, high = 0.0, 1.0
        for _ in range(math.ceil(math.log2(1 / theta))):
            middle = (low + high) / 2
            low, high = (low, middle) if ask(at(middle)) else (middle, high)
        return at(high)

    first = True
    while True:
        noise = torch.rand(x.shape, generator=generator)
        z = torch.lerp(x, noise, 1.0 if first else float(torch.rand((), generator=generator)))
        first = False
        if ask(z):
            break
        if spent == budget:
            return x, spent
    best, turn = None, 0
    while True:
        turn += 1
        z = boundary(z)
        distance = size(z - x)
        if best is None or distance < size(best - x):
            best = z
        if spent == budget or (settings.ball and size(best - x) <= settings.ball.eps):
            break
        radius = 0.1 if turn == 1 else distance * theta * (math.sqrt(d) if l2 else d)
        answers, directions = [], []
        for _ in range(min(int(settings.initial_probes * math.sqrt(turn)), budget - spent)):
            u = torch.randn(x.shape, generator=generator) if l2 else 2 * torch.rand(x.shape, generator=generator) - 1
            probe = (z + radius * (u / u.norm())).clamp(0, 1)
            answers.append(1.0 if ask(probe) else -1.0)
            directions.append((probe - z) / radius)
        answers, directions = torch.tensor(answers), torch.stack(directions)
        mean = answers.mean() if answers.mean().abs() < 1 else 0.0
        gradient = ((answers - mean)[:, None, None, None] * directions).sum(0)
        move = gradient / gradient.norm() if l2 else gradient.sign()
        length = distance / math.sqrt(turn)
        while spent < budget:
            tried = (z + length * move).clamp(0, 1)
            if ask(tried):
                z = tried
                break
            length /= 2
    return best, spent


@pytest.mark.parametrize("changes", [{}, {"max_queries": 77}, {"max_queries": 600, "eps": 0.35, "eps_255": 18}])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hop_skip_jump_takes_the_steps_of_a_textbook_loop(norm, changes, data):
    x, labels = data
    changes = {key: value for key, value in changes.items() if key != ("eps" if norm == "linf" else "eps_255")}
    settings = settings_of(f"hop-skip-jump-{norm}", **changes)
    outcome = suite.run(settings, model, x, labels, seed=3)
    assert outcome.success.sum() > 4
    for row in range(len(x)):
        expected, spent = jumped(settings, x[row], int(labels[row]), machine.generator(3, row))
        assert spent == outcome.queries[row], row
        if outcome.success[row]:
            torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=1e-4)


def test_hop_skip_jump_goes_along_its_probe_where_there_is_one_alone(data):
    x, labels = data
    settings = settings_of("hop-skip-jump-l2", initial_probes=1, max_queries=80)
    outcome = suite.run(settings, model, x, labels, seed=3)
    for row in outcome.success.nonzero()[:, 0].tolist():
        expected, _ = jumped(settings, x[row], int(labels[row]), machine.generator(3, row))
        torch.testing.assert_close(x[row] + outcome.perturbation[row], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hop_skip_jump_sees_nothing_but_the_class(norm, data):
    def classes_only(x):
        return torch.nn.functional.one_hot(model(x).argmax(1), 4).float()

    settings = settings_of(f"hop-skip-jump-{norm}")
    scores, classes = (suite.run(settings, each, *data, seed=1) for each in (model, classes_only))
    assert torch.equal(scores.perturbation, classes.perturbation) and torch.equal(scores.queries, classes.queries)


@pytest.mark.parametrize(("norm", "nearest"), [("l2", 1.1), ("linf", 1.25)])
def test_hop_skip_jump_comes_near_the_plane_that_separates_two_classes(norm, nearest):
    slope = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))

    def plane(x):
        score = ((x - 0.5) * slope).flatten(1).sum(1) + 2
        return torch.stack([score, -score], 1)

    x = torch.full((4, *SHAPE), 0.5)
    settings = settings_of(f"hop-skip-jump-{norm}", max_queries=4000, initial_probes=50)
    outcome = suite.run(settings, plane, x, torch.zeros(4, dtype=torch.int64), seed=0)
    distance = 2 / (slope.norm() if norm == "l2" else slope.abs().sum())
    found = outcome.l2 if norm == "l2" else outcome.linf
    assert outcome.success.all()
    assert (found >= 0.999 * distance).all() and (found <= nearest * distance).all()


def test_hop_skip_jump_in_a_ball_is_done_inside_it(data):
    free = suite.run(settings_of("hop-skip-jump-l2", max_queries=600), model, *data, seed=3)
    eps = float(free.l2.median())
    confined = suite.run(settings_of("hop-skip-jump-l2", max_queries=600, eps=eps), model, *data, seed=3)
    assert confined.success.any() and confined.l2.max() <= eps + 1e-6
    assert (confined.queries[confined.success] < 600).any()


def test_an_image_that_no_noise_takes_from_its_class_is_left_alone(data):
    outcome = suite.run(
        settings_of("hop-skip-jump-l2"), lambda x: model(x) * 0 + torch.eye(4)[2], data[0], torch.full((9,), 2), 0
    )
    assert not outcome.success.any() and (outcome.queries == 200).all()
