"""Weights as safetensors: a round trip keeps every value, and weights of another model are named."""

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from spectroscope.pipeline import io, weights


def network(seed=0, width=4):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 6, 3))


def test_a_round_trip_keeps_weights_and_buffers(tmp_path):
    model = network(0).train()
    model(torch.rand(5, 3, 4, 5))  # moves the BatchNorm statistics
    model.to(memory_format=torch.channels_last)
    io.write_weights(tmp_path / "w.safetensors", model)
    found = io.read_weights(tmp_path / "w.safetensors", network(1))
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in model.state_dict().items())
    assert found[1].num_batches_tracked == 1


def test_weights_of_another_model_name_the_file_and_the_tensors(tmp_path):
    io.write_weights(tmp_path / "w.safetensors", network(width=4))
    with pytest.raises(ValueError, match=r"w\.safetensors: .* 0\.weight: expected \(5, 3, 3, 3\), got \(4, 3, 3, 3\);"):
        io.read_weights(tmp_path / "w.safetensors", network(width=5))
    with pytest.raises(ValueError, match=r"w\.safetensors: .*: missing bias, weight; unknown 0\.bias, .* and 4 more$"):
        io.read_weights(tmp_path / "w.safetensors", nn.Linear(2, 2))


def test_tied_weights_come_back_as_they_were(tmp_path):
    def tied(value):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        nn.init.constant_(model[0].weight, value)
        model[1].weight = model[0].weight
        return model

    io.write_weights(tmp_path / "w.safetensors", tied(2.0))
    found = io.read_weights(tmp_path / "w.safetensors", tied(1.0))
    assert found[0].weight is found[1].weight and (found[0].weight == 2).all()


def test_numbers_of_another_kind_are_not_cast_in_silence(tmp_path):
    model = nn.Sequential(nn.BatchNorm2d(2))
    state = model.state_dict()
    odd = {
        "0.weight": state["0.weight"].to(torch.int64),
        "0.bias": state["0.bias"] > 0,
        "0.running_mean": state["0.running_mean"].to(torch.complex64),
        "0.num_batches_tracked": torch.tensor(1.5),
    }
    for name, value in odd.items():
        kind = str(value.dtype).removeprefix("torch.")
        wanted = "integers" if name.endswith("tracked") else "floats"
        with pytest.raises(
            ValueError, match=rf"w: the weights do not fit the model: {name}: expected {wanted}, got {kind}$"
        ):
            io.load_tensors(model, {**state, name: value}, tmp_path / "w")
    io.load_tensors(model, {**state, "0.weight": state["0.weight"].half()}, tmp_path / "w")


def test_one_flipped_bit_is_found(tmp_path):
    file = tmp_path / "w.safetensors"
    io.write_weights(file, network())
    content = bytearray(file.read_bytes())
    content[-7] ^= 4
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"w\.safetensors: .* \(its tensors are not those that were written\).*dvc checkout"
    ):
        io.read_weights(file, network())


def test_a_full_disk_leaves_the_earlier_weights_and_is_named(tmp_path, monkeypatch):
    io.write_weights(tmp_path / "w.safetensors", network(0))
    before = (tmp_path / "w.safetensors").read_bytes()

    def full(*arguments):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    with pytest.raises(OSError, match=r"w\.safetensors: expected to write this file, got: .*No space left on device"):
        io.write_weights(tmp_path / "w.safetensors", network(1))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"w.safetensors": before}
