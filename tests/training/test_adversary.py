"""PGD on training batches: it stays in its ball, it climbs, and its randomness is an argument."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.frequency.passbands import band_filter
from spectroscope.training.adversary import pgd_adversary
from spectroscope.training.regimes.frequencies import Frequencies
from tests.trainings import random

BALLS = {"linf": (8 / 255, 2 / 255), "l2": (0.5, 0.1)}


def size(delta, norm):
    """Norm of each image: (N, C, H, W) -> (N,)."""
    return delta.flatten(1).norm(dim=1, p=2 if norm == "l2" else float("inf"))


@pytest.fixture(scope="module")
def images():
    """Images that fill [0, 1], both ends included."""
    return (1.4 * torch.rand(6, 3, 8, 8, generator=random()) - 0.2).clamp(0, 1)


@pytest.fixture(scope="module")
def labels():
    return torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture(scope="module")
def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(288, 4)
        )


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("factor", [0.3, 1.25, 50])
def test_the_ball_and_the_range_of_pixels_hold(network, images, labels, norm, start, factor):
    eps, _ = BALLS[norm]
    attacked = pgd_adversary(norm, eps, factor * eps, 5, start)(network, images, labels, random())
    assert size(attacked - images, norm).max() <= eps + 1e-6
    assert attacked.min() >= 0 and attacked.max() <= 1 and not attacked.requires_grad
    assert size(attacked - images, norm).min() > 0


@pytest.mark.parametrize("norm", BALLS)
def test_the_ball_holds_for_a_band_with_negative_pixels(network, images, labels, norm):
    band, (eps, step) = 3 * (images - 0.5), BALLS[norm]
    attacked = pgd_adversary(norm, eps, step, 5, True)(network, band, labels, random())
    assert band.min() < -1 and band.max() > 1.4
    assert size(attacked - band, norm).max() <= eps + 1e-6
    assert (attacked >= band.clamp(max=0) - 1e-6).all() and (attacked <= band.clamp(min=1) + 1e-6).all()


def test_one_step_on_a_linear_model_is_the_closed_form_of_linf(linear, labels):
    x, step = torch.full((6, 3, 8, 8), 0.5), 5 / 255
    weight = linear[1].weight.detach()
    softmax = linear(x).softmax(1).detach()
    gradient = ((softmax - F.one_hot(labels, 4)) @ weight).view_as(x)  # of the cross-entropy, by hand
    attacked = pgd_adversary("linf", 8 / 255, step, 1, False)(linear, x, labels, random())
    torch.testing.assert_close(attacked, x + step * gradient.sign())


def test_one_step_on_a_linear_model_is_the_closed_form_of_l2(linear, labels):
    x = torch.full((6, 3, 8, 8), 0.5)
    gradient = ((linear(x).softmax(1).detach() - F.one_hot(labels, 4)) @ linear[1].weight.detach()).view_as(x)
    unit = gradient / size(gradient, "l2")[:, None, None, None]
    for step, expected in ((0.1, 0.1), (0.9, 0.5)):  # the second leaves the ball and is brought back
        attacked = pgd_adversary("l2", 0.5, step, 1, False)(linear, x, labels, random())
        torch.testing.assert_close(attacked, x + expected * unit)


def test_a_confined_step_on_a_linear_model_is_the_closed_form_of_l2(linear, labels):
    x = torch.full((6, 3, 8, 8), 0.5)
    band = Frequencies(basis="dct", shape="linf", low=0, high=0.25).band
    gradient = ((linear(x).softmax(1).detach() - F.one_hot(labels, 4)) @ linear[1].weight.detach()).view_as(x)
    inside = band_filter(gradient, band)
    unit = inside / size(inside, "l2")[:, None, None, None]
    attacked = pgd_adversary("l2", 0.5, 0.3, 1, False, band=band)(linear, x, labels, random())
    torch.testing.assert_close(attacked, x + 0.3 * unit)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("low_or_high", [(0, 0.25), (0.5, 1)], ids=["low", "high"])
def test_confined_steps_are_five_rounds_of_band_ball_and_box(linear, images, labels, norm, low_or_high):
    """The loop written out. The perturbations are the same, and so is their leak."""
    low, high = low_or_high
    band, (eps, step) = Frequencies(basis="dct", shape="linf", low=low, high=high).band, BALLS[norm]
    delta = torch.zeros_like(images)
    for _ in range(4):
        z = (images + delta).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(linear(z), labels, reduction="sum"), z)
        gradient = band_filter(gradient, band)
        direction = gradient.sign() if norm == "linf" else gradient / size(gradient, "l2")[:, None, None, None]
        delta = delta + step * direction
        for _ in range(5):
            delta = band_filter(delta, band)
            if norm == "linf":
                delta = delta.clamp(-eps, eps)
            else:
                delta = delta * (eps / size(delta, "l2")).clamp(max=1)[:, None, None, None]
            delta = (images + delta).clamp(0, 1) - images
    attacked = pgd_adversary(norm, eps, step, 4, False, band=band)(linear, images, labels, random())
    torch.testing.assert_close(attacked, images + delta, rtol=0, atol=1e-6)
    leak = 1 - size(band_filter(attacked - images, band), "l2") ** 2 / size(attacked - images, "l2") ** 2
    assert 1e-6 < leak.max() < 0.1


@pytest.mark.parametrize("norm", BALLS)
def test_the_loss_grows_with_the_steps(linear, images, labels, norm):
    eps, step = BALLS[norm]
    losses = []
    for steps in (1, 2, 4, 8):
        attacked = pgd_adversary(norm, eps, step, steps, False)(linear, images, labels, random())
        losses.append(float(F.cross_entropy(linear(attacked), labels).detach()))
    clean = float(F.cross_entropy(linear(images), labels).detach())
    assert [clean, *losses] == sorted([clean, *losses]) and losses[0] > clean and losses[-1] > losses[0]


@pytest.mark.parametrize("norm", BALLS)
def test_the_start_comes_from_the_generator_alone(linear, images, labels, norm):
    eps, step = BALLS[norm]
    attack = pgd_adversary(norm, eps, step, 1, True)
    first = attack(linear, images, labels, random(1))
    torch.rand(3)
    assert torch.equal(attack(linear, images, labels, random(1)), first)
    assert not torch.equal(attack(linear, images, labels, random(2)), first)
    generator = random(1)
    attack(linear, images, labels, generator)
    assert not torch.equal(attack(linear, images, labels, generator), first)


def test_without_a_start_the_generator_is_not_used(linear, images, labels):
    generator = random(1)
    pgd_adversary("linf", 0.1, 0.1, 2, False)(linear, images, labels, generator)
    assert torch.equal(generator.get_state(), random(1).get_state())


def test_the_l2_start_fills_the_ball(linear):
    x, eps, dimensions = torch.full((2000, 1, 2, 2), 0.5), 0.4, 4
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.zeros_(flat[1].weight)  # no gradient: only the start is seen
    attacked = pgd_adversary("l2", eps, 0.1, 1, True)(flat, x, torch.zeros(2000).long(), random())
    radius = size(attacked - x, "l2") / eps
    assert radius.max() <= 1 + 1e-5
    assert abs(float((radius**dimensions).mean()) - 0.5) < 0.03  # uniform in volume
    assert (attacked - x).mean((0, 1)).abs().max() < 0.02


def test_single_step_training_starts_anywhere_and_ends_in_the_ball(linear, labels):
    """Wong et al. 2020, Algorithm 3: uniform start, one step of alpha > eps, projection."""
    x, eps = torch.full((6, 3, 8, 8), 0.5), 8 / 255
    start = (2 * torch.rand(x.shape, generator=random(3)) - 1) * eps
    gradient = ((linear(x + start).softmax(1).detach() - F.one_hot(labels, 4)) @ linear[1].weight.detach()).view_as(x)
    attacked = pgd_adversary("linf", eps, 10 / 255, 1, True)(linear, x, labels, random(3))
    torch.testing.assert_close(attacked - x, (start + 10 / 255 * gradient.sign()).clamp(-eps, eps))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode_and_takes_no_gradient(network, images, labels, training):
    network.train(training).zero_grad()
    pgd_adversary("linf", 0.1, 0.05, 3, True)(network, images, labels, random())
    assert all(layer.training == training for layer in network.modules())
    assert all(weight.grad is None for weight in network.parameters())


def test_the_images_given_are_not_changed(network, images, labels):
    before = images.clone()
    pgd_adversary("linf", 0.1, 0.05, 3, True)(network, images, labels, random())
    assert torch.equal(images, before)


def test_in_evaluation_mode_an_image_does_not_depend_on_the_batch(network, images, labels):
    network.eval()
    attack = pgd_adversary("l2", 0.5, 0.1, 3, False)
    alone = torch.cat([attack(network, x[None], y[None], random()) for x, y in zip(images, labels, strict=True)])
    torch.testing.assert_close(attack(network, images, labels, random()), alone, atol=1e-5, rtol=0)
