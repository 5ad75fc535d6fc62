"""A training that is stopped between two batches and taken up again ends as if it had never been stopped."""

import copy
import math
import random

import pytest
import torch
from torch import nn

from spectroscope.pipeline import checkpoint, io, machine
from spectroscope.training import loop, resume
from spectroscope.training.adversary import pgd_adversary
from spectroscope.training.hooks import TrainingHooks
from tests.trainings import bright_or_dark, settings

PGD = pgd_adversary("linf", 8 / 255, 10 / 255, 1, True)


class KilledError(Exception):
    """Stands for the end of a process."""


class Mortal:
    """An adversary that is killed at the call after its `life`-th."""

    def __init__(self, life=math.inf):
        self.life = life

    def __call__(self, model, x, y, generator):
        self.life -= 1
        if self.life < 0:
            raise KilledError
        return PGD(model, x, y, generator)


def network():
    """Everything with a state: BatchNorm's buffers, dropout's global generator, kernels that are channels-last."""
    machine.seed(0)
    body = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)
    return nn.Sequential(*body, nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))


def train(store=None, life=math.inf, validations=math.inf, images=None, **changes):
    """What a stage's process does for one seed: (rows without times, weights)."""
    model, slot = network(), store and store.checkpoint_file("seed0")
    images = images or bright_or_dark(channels=2, signal=0.3)
    hooks, attack = TrainingHooks(adversary=Mortal(life), own_attack=PGD), Mortal(validations)
    epochs = loop.fit(model, images, settings(epochs=5, **changes), hooks, attack, machine.generator(0), slot)
    rows = [{key: value for key, value in row.items() if key != "images_per_second"} for row in epochs]
    assert not model.training
    return rows, model.state_dict()


def same(first, second):
    rows, weights = first
    return rows == second[0] and all(torch.equal(weights[key], second[1][key]) for key in weights)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store like one a stage opens, kept open over the many lives of a training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(checkpoint.os, "fsync", lambda descriptor: None)  # nobody cuts the power here, and it is slow
    with checkpoint.open_store("training", test=1) as opened:
        yield opened


@pytest.mark.parametrize("changes", [{"average": 0.9, "keep": "best"}, {"momentum": 0.0}], ids=str)
@pytest.mark.parametrize("every", ["batch", "epoch"])
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(store, monkeypatch, every, changes):
    whole = train(**changes)
    monkeypatch.setenv(checkpoint.SECONDS, "0" if every == "batch" else "1000")
    chance, killed = random.Random(0), 0
    longest = 3 if every == "batch" else 9
    while True:
        lives = {"life": chance.randrange(1, longest), "validations": chance.randrange(3)}
        try:
            resumed = train(store, **lives, **changes)
            break
        except KilledError:
            killed += 1
    assert killed >= (10 if every == "batch" else 3)
    assert same(resumed, whole)
    assert same(train(store, life=0, validations=0, **changes), whole)  # nothing is left to do


MEMBERS = ["model", "average", "optimiser", "schedule", "generator", "progress", "global"]


@pytest.mark.parametrize("lost", MEMBERS)
def test_weights_show_it_when_the_state_of_a_member_is_lost(store, monkeypatch, lost):
    """The comparison above is not blind: without any one member it fails."""
    monkeypatch.setenv(checkpoint.SECONDS, "0")
    whole, restore = train(average=0.9), resume.restore
    with pytest.raises(KilledError):
        train(store, life=6, average=0.9)

    def forgetful(saved, members):
        state = torch.get_rng_state()
        restore(saved, {name: copy.deepcopy(value) if name == lost else value for name, value in members.items()})
        if lost == "global":
            torch.set_rng_state(state)

    monkeypatch.setattr(resume, "restore", forgetful)
    assert not same(train(store, average=0.9), whole)


def test_a_training_goes_on_inside_an_epoch(store, monkeypatch):
    monkeypatch.setenv(checkpoint.SECONDS, "0")
    with pytest.raises(KilledError):
        train(life=19)  # of 5 epochs with 4 batches
    with pytest.raises(KilledError):
        train(store, life=2)
    train(store, life=18)


def test_it_is_saved_every_few_minutes_and_not_more_often(store, monkeypatch):
    clock, saved = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint.Store, "save", lambda *arguments: saved.append(clock[0]))
    slot = store.checkpoint_file("seed0")
    for clock[0] in range(0, 1000, 50):
        if slot.due():
            slot.save({}, {})
    assert saved == [300, 600, 900]


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(store, monkeypatch):
    monkeypatch.setenv(checkpoint.SECONDS, "0")
    with pytest.raises(KilledError):
        train(store, life=3)
    before, images = store.path("seed0").read_bytes(), bright_or_dark(channels=2)
    broken = io.Images(images.pixels * math.nan, images.labels, images.classes)
    with pytest.raises(ValueError, match=r"expected finite numbers, got NaN or infinity in model\..*: lower the"):
        train(store, images=broken)
    assert store.path("seed0").read_bytes() == before


def test_a_full_disk_stops_the_training_and_leaves_the_last_good_checkpoint(store, monkeypatch):
    monkeypatch.setenv(checkpoint.SECONDS, "0")
    with pytest.raises(KilledError):
        train(store, life=3)
    before = store.path("seed0").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match=r"seed0\.safetensors: expected to write this file, got: .*No space left"):
        train(store)
    assert store.path("seed0").read_bytes() == before


# ---- states as tensors and facts


def test_any_state_comes_back_as_it_was():
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    progress = resume.Progress([{"loss": 0.1 + 0.2, "kept": True}], {"w": torch.arange(3.0)}, None, 4)
    saved = resume.capture({"layer": layer, "optimiser": optimiser, "progress": progress, "average": None})
    other_layer, other_progress = nn.Linear(3, 2), resume.Progress()
    other_optimiser = torch.optim.Adam(other_layer.parameters(), lr=0.5)
    members = {"layer": other_layer, "optimiser": other_optimiser, "progress": other_progress, "average": None}
    resume.restore(saved, members)
    assert (other_progress.rows, other_progress.order, other_progress.n_batches) == (progress.rows, None, 4)
    assert torch.equal(other_progress.kept["w"], progress.kept["w"])
    assert torch.equal(other_layer.weight, layer.weight) and other_optimiser.param_groups[0]["lr"] == 0.1
    for mine, theirs in zip(optimiser.state.values(), other_optimiser.state.values(), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_the_optimiser_gets_back_the_layout_of_the_weights():
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 3, 8, 8)).sum().backward()
    optimiser.step()
    tensors, facts = resume.capture({"optimiser": optimiser})
    plain = {key: value.contiguous() for key, value in tensors.items()}
    resume.restore((plain, facts), {"optimiser": optimiser})
    assert optimiser.state[layer.weight]["momentum_buffer"].stride() == layer.weight.stride()


def test_a_state_with_a_number_that_is_not_finite_is_refused():
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.bias, math.inf)
    with pytest.raises(ValueError, match=r"expected finite numbers, got NaN or infinity in layer\.bias"):
        resume.capture({"layer": layer})
