"""Held-out images: how they are split off, accuracy on them, collapse, and the epoch that is kept."""

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from spectroscope.bands import PermutedLabels, apply_band
from spectroscope.dataset.registry import DatasetSettings, load
from spectroscope.models.held_out import split
from spectroscope.pipeline import io, params
from spectroscope.training import held_out
from spectroscope.training.held_out import collapsed, select_epoch
from spectroscope.training.hooks import TrainingHooks
from tests.trainings import NO_CHANGE, bright_or_dark, fit, network, random

ROOT = Path(__file__).parents[2]


def labelled(labels, clusters=None):
    labels = torch.as_tensor(labels)
    clusters = None if clusters is None else torch.as_tensor(clusters)
    return io.Images(torch.zeros(len(labels), 1, 1, 1), labels, ("a", "b", "c"), clusters)


@pytest.mark.parametrize("fraction", [0.1, 0.45])
def test_of_images_that_are_a_cluster_each_the_last_of_every_class_are_held_out(fraction):
    labels = torch.tensor([0] * 20 + [1] * 40 + [2] * 2)[torch.randperm(62, generator=random())]
    training, out = split(labelled(labels), fraction)
    assert sorted([*training.tolist(), *out.tolist()]) == list(range(62))
    numbers = {label: max(1, round(fraction * n)) for label, n in enumerate((20, 40, 2))}
    last = [(labels == label).nonzero().flatten()[-n:].tolist() for label, n in numbers.items()]
    assert out.tolist() == sorted(itertools.chain(*last)) and training.tolist() == sorted(training.tolist())


@pytest.mark.parametrize("fraction", [0.05, 0.45])
@pytest.mark.parametrize("permuted", [False, True], ids=["labels", "permuted labels"])
def test_no_held_out_patch_of_a_photograph_shares_its_tile_with_a_training_patch(fraction, permuted):
    train = load(params.load("dataset", DatasetSettings, ROOT / "params.yaml")).train
    if permuted:
        train = apply_band(train, PermutedLabels(keep="permuted", seed=0), training=True)
    training, out = split(train, fraction)
    assert sorted([*training.tolist(), *out.tolist()]) == list(range(len(train)))
    assert not set(train.clusters[training].tolist()) & set(train.clusters[out].tolist())
    of_class = train.labels[out].bincount(minlength=12)
    largest = train.clusters.bincount().max()
    wanted = round(fraction * 400)
    assert wanted <= of_class.min() and (permuted or of_class.max() < wanted + largest)
    assert len(out) < (1.5 if fraction < 0.1 else 1.2) * fraction * len(train)


@pytest.mark.parametrize(
    ("labels", "clusters", "fraction", "expected"),
    [
        ([0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 2, 1], 0.3, [1, 2, 5]),  # two images wanted, the last cluster has three
        ([0, 0, 0, 0], [5, 5, 5, 1], 0.45, [3]),  # the one cluster that is left stays
        ([0, 1, 0, 1], [3, 3, 4, 4], 0.3, [2, 3]),  # a cluster of two classes
    ],
    ids=["whole clusters", "one stays", "two classes"],
)
def test_whole_clusters_are_held_out_from_the_last_one_back(labels, clusters, fraction, expected):
    training, out = split(labelled(labels, clusters), fraction)
    assert out.tolist() == expected and sorted([*training.tolist(), *expected]) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("labels", "clusters", "n"),
    [([0, 0, 1], None, 1), ([0, 0, 2, 2], None, 0), ([0, 0, 1, 1, 1], [0, 1, 2, 2, 2], 1)],
    ids=["one image", "no image", "one cluster"],
)
def test_a_class_that_cannot_be_split_is_named(labels, clusters, n):
    with pytest.raises(ValueError, match=rf"expected training images of class 1 from at least 2 clusters, got {n}"):
        split(labelled(labels, clusters), 0.1)


def test_a_class_whose_clusters_all_go_with_other_classes_is_named():
    with pytest.raises(ValueError, match="expected training images of class 2 in clusters of their own, got none"):
        split(labelled([0, 1, 0, 1, 2, 2], [0, 1, 2, 3, 2, 3]), 0.4)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_accuracy_is_right_over_total_with_a_short_last_batch(monkeypatch, batch_size):
    monkeypatch.setattr(held_out, "VALIDATION_BATCH_SIZE", batch_size)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    model = lambda x: F.one_hot(x.long(), 2).float()  # noqa: E731
    to_ones = lambda model, x, y, generator: torch.ones(len(x))  # noqa: E731
    assert held_out.accuracies(model, torch.zeros(10), labels, to_ones, to_ones, 0) == {
        "clean": 0.8,
        "robust": 0.2,
        "own_robust": 0.2,
    }


def test_the_validation_attack_gets_batches_of_bounded_size_and_a_stream_for_each(monkeypatch):
    monkeypatch.setattr(held_out, "VALIDATION_BATCH_SIZE", 8)
    sizes, drawn = [], []

    def attack(model, x, y, generator):
        sizes.append(len(x))
        drawn.append(float(torch.rand((), generator=generator)))
        return x

    fit(network(), validation_attack=attack)
    assert sizes == 2 * [8, 8, 4] and len(set(drawn)) == 6


def rows_of(robust, clean=None, overfitted=()):
    clean = clean or [0.5] * len(robust)
    return [
        {"robust": r, "own_robust": r, "clean": c, "overfitted": i in overfitted}
        for i, (r, c) in enumerate(zip(robust, clean, strict=True))
    ]


@pytest.mark.parametrize(
    ("rows", "keep", "expected"),
    [
        (rows_of([0.3, 0.4, 0.35]), "last", 2),
        (rows_of([0.3, 0.4, 0.35]), "best", 1),
        (rows_of([0.4, 0.4, 0.3], [0.6, 0.5, 0.9]), "best", 0),
        (rows_of([0.4, 0.4, 0.3]), "best", 1),
        (rows_of([0.3, 0.4, 0.0, 0.1], overfitted=(2,)), "last", 3),
    ],
    ids=["last", "best", "tie by clean", "tie by age", "collapsed"],
)
def test_the_epoch_that_is_kept(rows, keep, expected):
    assert select_epoch(rows, keep) == expected


@pytest.mark.parametrize(
    ("robust", "previous", "expected"),
    [
        (0.1, [0.2, 0.4], True),
        (0.2, [0.4], False),
        (0.19, [0.4, 0.2], True),
        (0.0, [0.1], False),
        (0.0, [27 / 150], False),  # ten classes: a guess reaches 27 of 150 with probability .0019, 28 with .0009
        (0.0, [28 / 150], True),
        (0.0, [], False),
    ],
    ids=["fell", "half is no collapse", "from the best", "chance", "chance varies", "above it", "first epoch"],
)
def test_collapse_is_a_fall_below_half_of_what_was_better_than_chance(robust, previous, expected):
    assert collapsed(robust, rows_of(previous), torch.arange(150) % 10) is expected


def test_without_an_adversary_nothing_collapses():
    rows = [{"own_robust": None}, {"own_robust": None}]
    assert collapsed(None, rows, torch.arange(150) % 10) is False


def test_a_guess_names_the_most_frequent_class():
    """Half of the images are of one class: 60 % of 150 are reached by always naming it with probability .0088."""
    labels = torch.tensor([0] * 75 + [1] * 40 + [2] * 35)
    assert collapsed(0.1, rows_of([0.6]), labels) is False and collapsed(0.1, rows_of([0.7]), labels) is True


def falling(accuracies):
    """A validation attack under which accuracy is at most these values, epoch by epoch, and the weights it met."""
    met, remaining = [], iter(accuracies)

    def attack(model, x, y, generator):
        met.append({name: value.clone() for name, value in model.state_dict().items()})
        shown = x.clone()
        shown[round(next(remaining) * len(x)) :] = math.nan  # argmax of NaN logits is class 0
        return torch.where(y[:, None, None, None] == 1, shown, x)

    return attack, met


@pytest.mark.parametrize(("keep", "expected"), [("last", 3), ("best", 1)])
def test_the_network_ends_with_the_weights_of_the_epoch_kept(keep, expected):
    attack, met = falling([0.0, 1.0, 0.5, 0.5])
    model = network()
    rows = fit(model, validation_attack=attack, epochs=4, keep=keep)
    assert select_epoch(rows, keep) == expected
    assert all(torch.equal(value, met[expected][name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, met[4 - expected][name]) for name, value in model.state_dict().items())


def test_held_out_images_are_never_trained_on_and_only_they_are_evaluated():
    images, trained, evaluated = bright_or_dark(), set(), set()

    def note(into):
        def adversary(model, x, y, generator):
            into.update(float(image.sum()) for image in x)
            return x

        return adversary

    hooks = TrainingHooks(adversary=note(trained))
    fit(network(), hooks, note(evaluated), images=images, augmentation=NO_CHANGE)
    training, out = split(images, 0.25)
    assert trained == {float(image.sum()) for image in images.pixels[training]}
    assert evaluated == {float(image.sum()) for image in images.pixels[out]}
    assert len(trained) == 60 and len(evaluated) == 20
