"""One loop for every regime: what it learns, what it reports, and that a seed decides everything."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spectroscope.models import inference
from spectroscope.training import loop as training
from spectroscope.training.adversary import projected_gradient
from spectroscope.training.hooks import Parts
from spectroscope.training.loop import Augmentation
from tests.trainings import bright_or_dark, settings

PLAIN = Augmentation(flip=False, crop=0)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def untouched(model, images, labels, generator):
    return images


def network(seed=0, shape=(1, 8, 8), n_classes=2):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return inference.build("resnet8", shape, n_classes)


def linear(n_classes=2):
    """A model of the 64 pixels that starts with all logits zero."""
    layer = nn.Linear(64, n_classes)
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), layer)


def fit(model, adversary=None, judge=untouched, seed=0, data=None, transform=None, regulariser=None, **changes):
    images, labels = data or bright_or_dark()
    parts = Parts(transform, adversary, regulariser, robust=adversary is not None)
    return list(training.fit(model, images, labels, settings(**changes), random(seed), parts, judge))


# ---- the parts held out


@pytest.mark.parametrize("held_out", [0.1, 0.25, 0.45])
def test_the_split_is_stratified_and_never_overlaps(held_out):
    labels = torch.tensor([0] * 20 + [1] * 40 + [2] * 2)[torch.randperm(62, generator=random())]
    kept, out = training.split(labels, held_out)
    assert sorted([*kept.tolist(), *out.tolist()]) == list(range(62))
    counts = [max(1, round(held_out * n)) for n in (20, 40, 2)]
    assert labels[out].bincount().tolist() == counts
    assert kept.tolist() == sorted(kept.tolist()) and out.tolist() == sorted(out.tolist())


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 0, 2, 2]], ids=["one image", "no image"])
def test_a_class_that_cannot_be_split_is_named(labels):
    with pytest.raises(ValueError, match=r"expected at least 2 training images of class 1, got [01]"):
        training.split(torch.tensor(labels), 0.1)


def test_held_out_images_are_never_trained_on_and_only_they_are_judged():
    images, labels = bright_or_dark()
    trained, judged = set(), set()

    def note(into):
        def adversary(model, x, y, generator):
            into.update(float(image.sum()) for image in x)
            return x

        return adversary

    fit(network(), note(trained), note(judged), data=(images, labels), augmentation={"flip": False, "crop": 0})
    kept, out = training.split(labels, 0.25)
    assert trained == {float(image.sum()) for image in images[kept]}
    assert judged == {float(image.sum()) for image in images[out]}
    assert len(trained) == 60 and len(judged) == 20


# ---- what is reported


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_loss_of_zero_logits_is_the_logarithm_of_the_number_of_classes(n_classes):
    images, _ = bright_or_dark(70)  # the last batch is short
    labels = torch.arange(70) % n_classes
    (row,) = fit(linear(n_classes), data=(images, labels), epochs=1, learning_rate=1e-12, momentum=0)
    assert row["loss"] == pytest.approx(math.log(n_classes), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 64])
def test_accuracy_is_right_over_total_with_a_short_last_batch(batch_size):
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    assert training.accuracy(lambda x: F.one_hot(x.long(), 2).float(), torch.zeros(10), labels, batch_size) == 0.8
    assert training.accuracy(lambda x: F.one_hot(x.long(), 2).float(), torch.ones(10), labels, batch_size) == 0.2


def test_each_epoch_has_a_row():
    rows = fit(network(), epochs=3)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    columns = ["epoch", "loss", "clean", "robust", "overfitted", "images_per_second", "processes"]
    assert all(list(row) == columns for row in rows)
    assert all(row["images_per_second"] > 0 and row["processes"] == 1 and 0 <= row["robust"] <= 1 for row in rows)


def test_robust_accuracy_is_that_under_the_judge():
    dark_as_bright = lambda model, x, y, generator: x + 0.5 - y[:, None, None, None].float()  # noqa: E731
    row = fit(network(), judge=dark_as_bright, epochs=4)[-1]
    assert row["clean"] > 0.9 and row["robust"] < 0.1


def test_the_judge_sees_a_bounded_number_of_images_at_a_time(monkeypatch):
    monkeypatch.setattr(training, "JUDGED", 8)
    sizes = []

    def judge(model, x, y, generator):
        sizes.append(len(x))
        return x

    fit(network(), judge=judge, epochs=1)
    assert sizes == [8, 8, 4]


# ---- the loop


def test_the_adversary_meets_the_model_in_training_mode_and_the_judge_in_evaluation_mode():
    modes = {"adversary": set(), "judge": set()}

    def note(who):
        def adversary(model, x, y, generator):
            modes[who] |= {layer.training for layer in model.modules()}
            return x

        return adversary

    model = network()
    fit(model, note("adversary"), note("judge"))
    assert modes == {"adversary": {True}, "judge": {False}}
    assert not any(layer.training for layer in model.modules())


def test_what_the_adversary_returns_is_what_is_learned():
    inverted = lambda model, x, y, generator: 1 - x  # noqa: E731
    model, (images, labels) = network(), bright_or_dark()
    fit(model, inverted, epochs=6)
    assert training.accuracy(model, 1 - images, labels) > 0.95
    assert training.accuracy(model, images, labels) < 0.05


@pytest.mark.parametrize(("crop", "same"), [(0, True), (3, False)])
def test_the_adversary_starts_from_augmented_images(crop, same):
    images, labels = bright_or_dark()
    originals, met = {float(image.sum()) for image in images}, set()

    def note(model, x, y, generator):
        met.update(float(image.sum()) for image in x)
        return x

    fit(network(), note, data=(images, labels), augmentation={"flip": False, "crop": crop})
    assert (met <= originals) == same


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others():
    adversary = projected_gradient("linf", 8 / 255, 10 / 255, 1, True)

    def weights(seed):
        model = network()
        fit(model, adversary, adversary, seed)
        return torch.cat([value.flatten().double() for value in model.state_dict().values()])

    first = weights(0)
    assert torch.equal(weights(0), first) and not torch.equal(weights(1), first)


def test_the_judge_never_changes_what_is_learned():
    def weights(judge):
        model = network()
        fit(model, projected_gradient("linf", 8 / 255, 10 / 255, 1, True), judge)
        return torch.cat([weight.flatten() for weight in model.state_dict().values()])

    random_start = projected_gradient("linf", 0.1, 0.05, 2, True)
    assert torch.equal(weights(random_start), weights(untouched))


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

    fit(Remembering(*linear()), lighten, transform=darken, regulariser=note, epochs=1)
    assert met and all(low >= 2 and differentiable and same for low, differentiable, same in met)


def test_a_regulariser_changes_what_is_learned_and_the_loss_that_is_reported():
    plain, pulled = linear(), linear()
    without = fit(plain, epochs=4, learning_rate=0.02)
    shrink = lambda model, x, y, logits, generator: 2 * logits.square().mean() + 5  # noqa: E731
    rows = fit(pulled, epochs=4, learning_rate=0.02, regulariser=shrink)
    assert rows[0]["loss"] > without[0]["loss"] + 4
    images = bright_or_dark()[0]
    assert pulled(images).abs().mean() < 0.7 * plain(images).abs().mean()


# ---- averages, the best epoch, collapse


def test_the_average_follows_the_weights_by_its_rule():
    model, mean = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        mean.weight.fill_(0.0), model.weight.fill_(1.0), model.running_var.fill_(3.0)
    model.num_batches_tracked.fill_(7)
    training.follow(mean, model, decay=0.9, step=1000)
    assert float(mean.weight.detach()) == pytest.approx(0.1) and float(mean.running_var) == pytest.approx(1.2)
    assert int(mean.num_batches_tracked) == 7
    training.follow(mean, model, decay=0.9, step=1)  # young: decay 2 / 11
    assert float(mean.weight.detach()) == pytest.approx(1 - 0.9 * 2 / 11)


def test_an_averaged_network_is_what_is_measured_and_kept():
    plain, averaged = linear(), linear()
    fit(plain, epochs=3)
    judged = []

    def judge(model, x, y, generator):
        judged.append(model)
        return x

    rows = fit(averaged, judge=judge, epochs=3, average=0.9)
    assert judged[0] is not averaged and not any(weight.requires_grad for weight in judged[0].parameters())
    images, labels = bright_or_dark()
    _, out = training.split(labels, 0.25)
    assert training.accuracy(averaged, images[out], labels[out]) == rows[-1]["clean"]
    assert torch.equal(averaged[1].weight, judged[0][1].weight)
    assert (averaged[1].weight - plain[1].weight).abs().max() > 1e-4


def rows_of(robust, clean=None, overfitted=()):
    clean = clean or [0.5] * len(robust)
    return [
        {"robust": r, "clean": c, "overfitted": i in overfitted}
        for i, (r, c) in enumerate(zip(robust, clean, strict=True))
    ]


@pytest.mark.parametrize(
    ("rows", "keep", "expected"),
    [
        (rows_of([0.3, 0.4, 0.35]), "last", 2),
        (rows_of([0.3, 0.4, 0.35]), "best", 1),
        (rows_of([0.4, 0.4, 0.3], [0.6, 0.5, 0.9]), "best", 0),
        (rows_of([0.4, 0.4, 0.3]), "best", 1),
        (rows_of([0.3, 0.4, 0.0, 0.1], overfitted=(2,)), "last", 1),
    ],
    ids=["last", "best", "tie by clean", "tie by age", "collapsed"],
)
def test_the_epoch_that_is_kept(rows, keep, expected):
    assert training.kept(rows, keep) == expected


def falling(accuracies):
    """A judge under which held-out accuracy is at most these values, epoch by epoch, and what it met."""
    met, calls = [], iter(accuracies)

    def judge(model, x, y, generator):
        met.append({name: value.clone() for name, value in model.state_dict().items()})
        share = next(calls)
        shown = x.clone()
        shown[round(share * len(x)) :] = math.nan  # argmax of NaN logits is class 0
        return torch.where(y[:, None, None, None] == 1, shown, x)

    return judge, met


@pytest.mark.parametrize(("keep", "expected"), [("last", 3), ("best", 1)])
def test_the_network_ends_with_the_weights_of_the_epoch_kept(keep, expected):
    judge, met = falling([0.0, 1.0, 0.5, 0.5])
    model = network()
    rows = fit(model, judge=judge, epochs=4, keep=keep)
    assert training.kept(rows, keep) == expected
    assert all(torch.equal(value, met[expected][name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, met[4 - expected][name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("robust", "before", "expected"),
    [(0.1, [0.2, 0.4], True), (0.2, [0.4], False), (0.19, [0.4, 0.2], True), (0.0, [0.1], False), (0.0, [], False)],
    ids=["fell", "half is no collapse", "from the best", "chance to nothing", "first epoch"],
)
def test_collapse_is_a_fall_below_half_of_what_was_better_than_chance(robust, before, expected):
    assert training.collapsed(robust, rows_of(before), n_classes=10) is expected


def test_single_step_training_that_overfits_is_flagged_and_keeps_its_best_epoch(monkeypatch):
    """One step without a start, far beyond what it was stepped to: held-out accuracy under PGD is lost."""
    monkeypatch.setattr(training, "accuracies", lambda *given: {"clean": 0.9, "robust": next(robust)})
    robust = iter([0.6, 0.7, 0.1])
    model, seen = network(), []

    def note(model, x, y, generator):
        return x

    for row in training.fit(
        model, *bright_or_dark(), settings(epochs=3), random(), Parts(None, note, None, robust=True), untouched
    ):
        seen.append((row["overfitted"], {name: value.clone() for name, value in model.state_dict().items()}))
    assert [flag for flag, _ in seen] == [False, False, True]
    assert all(torch.equal(value, seen[1][1][name]) for name, value in model.state_dict().items())


def test_a_regime_that_does_not_train_for_robustness_is_never_flagged(monkeypatch):
    robust = iter([0.9, 0.1])
    monkeypatch.setattr(training, "accuracies", lambda *given: {"clean": 0.9, "robust": next(robust)})
    assert not any(row["overfitted"] for row in fit(network()))


@pytest.mark.parametrize("schedule", ["cyclic", "cosine"])
def test_a_simple_problem_is_learned(schedule):
    assert fit(network(), epochs=6, schedule=schedule)[-1]["clean"] > 0.95


def test_a_loss_that_is_no_number_stops_the_training():
    images, labels = bright_or_dark()
    with pytest.raises(ValueError, match=r"expected a finite training loss, got (nan|inf) in epoch 1: lower"):
        fit(network(), data=(images * math.nan, labels))


def test_the_images_given_are_not_changed():
    images, labels = bright_or_dark()
    before = images.clone()
    fit(network(), data=(images, labels))
    assert torch.equal(images, before)


def test_weight_decay_acts_on_kernels_and_matrices_alone():
    model = network()
    decayed, free = training._groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1 and free["weight_decay"] == 0
    assert {tensor.ndim for tensor in decayed["params"]} == {2, 4} and {tensor.ndim for tensor in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("schedule", ["cyclic", "cosine"])
def test_the_learning_rate_starts_low_peaks_at_one_and_ends_near_zero(schedule, warmup):
    steps = 200
    factor = training._factor(settings(schedule=schedule, warmup=warmup), steps)
    values = [factor(step) for step in range(steps)]
    peak = values.index(max(values))
    assert values[peak] == pytest.approx(1, abs=0.01) and peak == round(warmup * steps)
    assert values[0] < 0.1 or warmup == 0
    assert 0 < values[-1] < 0.01 and all(0 < value <= 1 for value in values)
    rise, fall = values[: peak + 1], values[peak:]
    assert rise == sorted(rise) and fall == sorted(fall, reverse=True)


def test_cyclic_falls_in_a_line_and_cosine_along_a_cosine():
    cyclic, cosine = (training._factor(settings(schedule=name, warmup=0), 100) for name in ("cyclic", "cosine"))
    assert cyclic(25) == pytest.approx(0.75) and cosine(25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


# ---- augmentation


@pytest.mark.parametrize(("flip", "crop"), [(True, 0), (False, 2), (True, 2)])
def test_each_augmented_image_is_a_mirrored_and_shifted_one(flip, crop):
    images = torch.rand(40, 2, 5, 7, generator=random())
    found = training.augment(images, Augmentation(flip=flip, crop=crop), random(1))
    assert found.shape == images.shape
    seen = set()
    for before, after in zip(images, found, strict=True):
        matches = []
        for mirrored in {False, flip}:
            for down in range(-crop, crop + 1):
                for right in range(-crop, crop + 1):
                    source, moved = before.flip(-1) if mirrored else before, torch.zeros_like(before)
                    for row in range(5):
                        for column in range(7):
                            if 0 <= row + down < 5 and 0 <= column + right < 7:
                                moved[:, row, column] = source[:, row + down, column + right]
                    if torch.equal(moved, after):
                        matches.append((mirrored, down, right))
        assert len(matches) == 1
        seen.update(matches)
    assert len(seen) > (2 if flip and not crop else 10) - 1
    assert {down for _, down, _ in seen} == set(range(-crop, crop + 1))
    assert {right for _, _, right in seen} == set(range(-crop, crop + 1))
    assert {mirrored for mirrored, _, _ in seen} == {False, flip}


def test_augmentation_that_does_nothing_returns_the_images():
    images, generator = torch.rand(4, 1, 3, 3, generator=random()), random(1)
    assert training.augment(images, PLAIN, generator) is images
    assert torch.equal(generator.get_state(), random(1).get_state())


def test_augmentation_comes_from_the_generator_and_leaves_its_input():
    images = torch.rand(8, 1, 6, 6, generator=random())
    before, both = images.clone(), Augmentation(flip=True, crop=2)
    first = training.augment(images, both, random(1))
    assert torch.equal(training.augment(images, both, random(1)), first) and torch.equal(images, before)
    assert not torch.equal(training.augment(images, both, random(2)), first)


# ---- settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, r"training\.seeds: expected at least 1 entry, got \[\]"),
        ({"seeds": [0, 1, 0]}, r"training\.seeds: expected seeds that differ, got \[0, 1, 0\]"),
        ({"seeds": [-1]}, r"training\.seeds\.0: .*greater than or equal to 0, got -1"),
        ({"epochs": 0}, r"training\.epochs: .*greater than or equal to 1, got 0"),
        ({"learning_rate": 0}, r"training\.learning_rate: .*greater than 0, got 0"),
        ({"learning_rate": math.inf}, r"training\.learning_rate: expected a finite number, got inf"),
        ({"momentum": 1.0}, r"training\.momentum: .*less than 1, got 1\.0"),
        ({"held_out": 0.5}, r"training\.held_out: .*less than 0\.5, got 0\.5"),
        ({"average": 1.0}, r"training\.average: .*less than 1, got 1\.0"),
        ({"keep": "first"}, r"training\.keep: expected 'last' or 'best', got 'first'"),
        ({"schedule": "step"}, r"training\.schedule: expected 'cyclic' or 'cosine', got 'step'"),
        ({"augmentation": {"flip": 1, "crop": 2}}, r"training\.augmentation\.flip: expected a valid boolean, got 1"),
        ({"augmentation": {"flip": True}}, r"training\.augmentation\.crop: expected this setting, found none"),
        ({"lr": 0.1}, r"training\.lr: unknown setting"),
    ],
)
def test_a_bad_setting_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)
