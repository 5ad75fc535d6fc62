"""Randomness starts where it is told to."""

import json
import os

import pytest
import torch

from spectroscope.pipeline import machine, resources


def draw(*keys):
    return torch.rand(8, generator=machine.generator(*keys))


def test_the_same_keys_give_the_same_stream():
    assert torch.equal(draw(3, 1), draw(3, 1))


def test_different_keys_give_unrelated_streams():
    keys = [(), (0,), (0, 0), (1,), (0, 1), (1, 0), (0, 0, 1), (999_999,), (999_999,) * 3, (5, 999_999)]
    streams = torch.stack([draw(*each) for each in keys])
    assert len(streams.unique(dim=0)) == len(keys)


def test_a_generator_leaves_the_global_one_alone():
    torch.rand(1)
    before = torch.get_rng_state()
    draw(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_key_is_refused():
    with pytest.raises(ValueError, match="expected a seed >= 0, got -1"):
        machine.generator(0, -1)


def test_seed_starts_the_global_generator():
    with torch.random.fork_rng():
        machine.seed(4)
        first = torch.rand(3)
        machine.seed(4)
        assert torch.equal(torch.rand(3), first)
        machine.seed(5)
        assert not torch.equal(torch.rand(3), first)


def test_the_description_of_the_machine_fits_a_json():
    about = json.loads(json.dumps(machine.describe()))
    assert set(about) == {"device", "threads", "torch"} and about["threads"] >= 1
    assert about["torch"] == torch.__version__


def test_more_threads_than_cores_are_refused_and_a_number_is_set(monkeypatch):
    monkeypatch.setattr(resources, "cores", lambda: 3)
    before = torch.get_num_threads()
    try:
        machine.set_threads(3)
        assert torch.get_num_threads() == machine.describe()["threads"] == 3
        machine.set_threads(None)
        assert torch.get_num_threads() == 3
        with pytest.raises(
            ValueError, match=r"training\.threads: expected at most 3, the cores of this machine, got 4"
        ):
            machine.set_threads(4)
    finally:
        torch.set_num_threads(before)


def test_kernels_are_deterministic_on_a_gpu_alone(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *mode, **options: asked.append((mode, options)))
    for there in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        machine.set_deterministic()
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if there else None)
    assert asked == [((True,), {"warn_only": True})]


def test_the_device_is_there():
    assert torch.ones(2, device=machine.device()).sum() == 2
