"""One loop for every regime: what it learns, what it reports, and that a seed decides everything."""

import math

import pytest
import torch
from torch import nn

from spectroscope.models.held_out import split
from spectroscope.pipeline import io
from spectroscope.training import held_out, loop
from spectroscope.training.adversary import pgd_adversary
from spectroscope.training.hooks import TrainingHooks
from tests.trainings import NO_CHANGE, accuracy, bright_or_dark, fit, linear, network, random, settings, untouched

ONE_STEP = pgd_adversary("linf", 8 / 255, 10 / 255, 1, True)


def against(adversary):
    return TrainingHooks(adversary=adversary, own_attack=untouched)


def ten_classes(n):
    return io.Images(bright_or_dark(n).pixels, torch.arange(n) % 10, tuple("abcdefghij"))


def weights_of(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


# ---- what is reported


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_loss_of_zero_logits_is_the_logarithm_of_the_number_of_classes(n_classes):
    pixels = bright_or_dark(70).pixels  # the last batch is short
    images = io.Images(pixels, torch.arange(70) % n_classes, tuple("abcde"[:n_classes]))
    (row,) = fit(linear(n_classes), images=images, epochs=1, learning_rate=1e-12, momentum=0)
    assert row["loss"] == pytest.approx(math.log(n_classes), abs=1e-5)


def test_each_epoch_has_a_row():
    rows = fit(network(), epochs=3)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    columns = ["epoch", "loss", "clean", "robust", "own_robust", "overfitted", "images_per_second", "processes"]
    assert all(list(row) == columns for row in rows)
    assert all(row["images_per_second"] > 0 and row["processes"] == 1 and 0 <= row["robust"] <= 1 for row in rows)


def test_robust_accuracy_is_that_under_the_validation_attack():
    dark_as_bright = lambda model, x, y, generator: x + 0.5 - y[:, None, None, None].float()  # noqa: E731
    row = fit(network(), validation_attack=dark_as_bright, epochs=4)[-1]
    assert row["clean"] > 0.9 and row["robust"] < 0.1


def reads(monkeypatch, robust, own_robust):
    """Make the held-out accuracies these, epoch by epoch."""
    rows = iter({"clean": 0.9, "robust": r, "own_robust": o} for r, o in zip(robust, own_robust, strict=True))
    monkeypatch.setattr(held_out, "accuracies", lambda *arguments: next(rows))


@pytest.mark.parametrize(("keep", "expected"), [("last", 2), ("best", 1)])
def test_training_that_collapses_is_flagged_and_keeps_the_epoch_of_the_setting(monkeypatch, keep, expected):
    reads(monkeypatch, [0.6, 0.7, 0.1], [0.9, 0.95, 0.1])
    seen, model = [], network()
    recipe = settings(epochs=3, keep=keep)
    for row in loop.fit(model, bright_or_dark(), recipe, against(untouched), untouched, random()):
        seen.append((row["overfitted"], weights_of(model)))
    assert [flag for flag, _ in seen] == [False, False, True]
    assert keep == "last" or torch.equal(weights_of(model), seen[expected][1])
    assert (keep == "last") != torch.equal(weights_of(model), seen[1][1])


def test_a_fall_in_a_larger_ball_than_that_of_the_regime_is_no_collapse(monkeypatch):
    """Near chance the accuracy under 8/255 varies; under its own 2/255 this training still gains."""
    reads(monkeypatch, [20 / 150, 9 / 150], [60 / 150, 66 / 150])
    images = ten_classes(600)  # 150 of them held out
    assert [row["overfitted"] for row in fit(linear(10), against(untouched), images=images)] == [False, False]
    reads(monkeypatch, [20 / 150, 20 / 150], [66 / 150, 9 / 150])
    assert [row["overfitted"] for row in fit(linear(10), against(untouched), images=images)] == [False, True]


def test_a_regime_that_does_not_train_for_robustness_is_never_flagged(monkeypatch):
    reads(monkeypatch, [0.9, 0.1], [None, None])
    assert not any(row["overfitted"] for row in fit(network()))


def test_robust_accuracy_in_the_own_ball_stands_beside_that_under_the_validation_attack():
    inverted = lambda model, x, y, generator: 1 - x  # noqa: E731
    row = fit(network(), TrainingHooks(own_attack=inverted), epochs=4)[-1]
    assert row["clean"] == row["robust"] > 0.9 and row["own_robust"] < 0.1
    row = fit(network(), TrainingHooks(own_attack=untouched), inverted, epochs=4)[-1]
    assert row["clean"] == row["own_robust"] > 0.9 and row["robust"] < 0.1
    assert fit(network())[-1]["own_robust"] is None


# ---- what is learned


def test_hooks_meet_the_model_in_training_mode_and_the_validation_attack_in_evaluation_mode():
    modes = {"hook": set(), "validation": set()}

    def note(who):
        def adversary(model, x, y, generator):
            modes[who] |= {layer.training for layer in model.modules()}
            return x

        return adversary

    model = network()
    fit(model, against(note("hook")), note("validation"))
    assert modes == {"hook": {True}, "validation": {False}}
    assert not any(layer.training for layer in model.modules())


def test_the_images_that_the_adversary_returns_are_learned():
    inverted = lambda model, x, y, generator: 1 - x  # noqa: E731
    model, images = network(), bright_or_dark()
    fit(model, against(inverted), epochs=6)
    assert accuracy(model, 1 - images.pixels, images.labels) > 0.95
    assert accuracy(model, images.pixels, images.labels) < 0.05


@pytest.mark.parametrize(("crop", "same"), [(0, True), (3, False)])
def test_the_adversary_starts_from_augmented_images(crop, same):
    images = bright_or_dark()
    originals, met = {float(image.sum()) for image in images.pixels}, set()

    def note(model, x, y, generator):
        met.update(float(image.sum()) for image in x)
        return x

    fit(network(), against(note), images=images, augmentation={"flip": False, "crop": crop, "padding": "zero"})
    assert (met <= originals) == same


def test_every_epoch_meets_every_training_image_once_in_an_order_of_its_own_and_of_the_seed():
    def orders(seed):
        met, images = [], bright_or_dark()
        note = lambda model, x, y, generator: met.extend(x.sum((1, 2, 3))) or x  # noqa: E731
        fit(linear(), against(note), seed=seed, images=images, augmentation=NO_CHANGE)
        inner, _ = split(images, 0.25)
        sums = images.pixels[inner].sum((1, 2, 3))
        places = [int((sums - total).abs().argmin()) for total in met]
        return places[: len(inner)], places[len(inner) :], list(range(len(inner)))

    first, second, stored = orders(0)
    assert sorted(first) == sorted(second) == stored
    assert first != stored and second != stored and first != second
    assert orders(0)[0] == first != orders(1)[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others():
    def weights(seed):
        model = network()
        fit(model, against(ONE_STEP), ONE_STEP, seed)
        return weights_of(model)

    first = weights(0)
    assert torch.equal(weights(0), first) and not torch.equal(weights(1), first)


def test_the_validation_attack_never_changes_what_is_learned():
    def weights(validation_attack):
        model = network()
        fit(model, against(ONE_STEP), validation_attack)
        return weights_of(model)

    assert torch.equal(weights(pgd_adversary("linf", 0.1, 0.05, 2, True)), weights(untouched))


def test_the_transform_comes_first_then_the_adversary_then_the_regulariser():
    def darken(images, labels, generator):
        return images * 0.5

    def lighten(model, x, y, generator):
        assert x.max() <= 0.5
        return x + 2

    met = []

    def note(model, x, y, logits, generator):
        met.append((float(x.detach().min()), x.requires_grad, torch.equal(logits, model.last)))
        return 0 * logits.sum()

    class Remembering(nn.Sequential):
        def forward(self, x):
            self.last = super().forward(x)
            return self.last

    fit(Remembering(*linear()), TrainingHooks(darken, lighten, note), epochs=1)
    assert met and all(low >= 2 and differentiable and same for low, differentiable, same in met)


def test_a_regulariser_changes_what_is_learned_and_the_loss_that_is_reported():
    plain, pulled = linear(), linear()
    without = fit(plain, epochs=4, learning_rate=0.02)
    shrink = lambda model, x, y, logits, generator: 2 * logits.square().mean() + 5  # noqa: E731
    rows = fit(pulled, TrainingHooks(regulariser=shrink), epochs=4, learning_rate=0.02)
    assert rows[0]["loss"] > without[0]["loss"] + 4
    pixels = bright_or_dark().pixels
    assert pulled(pixels).abs().mean() < 0.7 * plain(pixels).abs().mean()


@pytest.mark.parametrize("schedule", ["cyclic", "cosine"])
def test_a_simple_problem_is_learned(schedule):
    assert fit(network(), epochs=6, schedule=schedule)[-1]["clean"] > 0.95


def test_a_loss_that_is_no_number_stops_the_training():
    images = bright_or_dark()
    broken = io.Images(images.pixels * math.nan, images.labels, images.classes)
    with pytest.raises(ValueError, match=r"expected a finite training loss, got (nan|inf) in epoch 1: lower"):
        fit(network(), images=broken)


@pytest.mark.parametrize(
    ("most", "named"),
    [
        (15, r"training\.batch_size: expected a number of images that memory holds, got 16: no room"),
        (
            16,
            r"VALIDATION_BATCH_SIZE in .*held_out\.py: expected a number of images that memory holds, got 20: no room",
        ),
    ],
)
def test_a_batch_that_memory_does_not_hold_is_named(most, named):
    class Limited(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = linear()

        def forward(self, x):
            if len(x) > most:
                raise torch.OutOfMemoryError("no room")
            return self.network(x)

    with pytest.raises(ValueError, match=named):
        fit(Limited())


def test_the_images_given_are_not_changed():
    images = bright_or_dark()
    before = images.pixels.clone()
    fit(network(), images=images)
    assert torch.equal(images.pixels, before)
