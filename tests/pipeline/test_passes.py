"""Images in a first pass: by the layers' outputs and the free memory of a CPU or a GPU, the same in all processes."""

import pytest
import torch
from torch import nn

from spectroscope.pipeline import passes, processes, resources
from spectroscope.pipeline.passes import COPIES, MOST_LARGE, MOST_SMALL, forward_batch_size

NUMBERS = 3 * 8 * 64 + 4  # that the layers of `network` give for an image of 8 x 8 pixels
EACH = 4 * (NUMBERS + COPIES * 3 * 64)  # bytes


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Sequential(nn.Tanh(), nn.Flatten()), nn.Linear(8 * 64, 4))


@pytest.fixture(autouse=True)
def _no_number_is_set(monkeypatch):
    monkeypatch.delenv(passes.BATCH_SIZE, raising=False)


@pytest.mark.parametrize(
    ("free", "expected"), [(0, 1), (2 * EACH, 1), (15 * EACH, 4), (16 * EACH, 8), (10**12, MOST_SMALL)]
)
def test_on_a_cpu_a_power_of_two_fits_in_half_of_the_free_memory(free, expected, monkeypatch):
    monkeypatch.setattr(resources, "free_memory", lambda: free)
    assert forward_batch_size(network(), torch.rand(9, 3, 8, 8)) == expected


def test_large_images_are_fewer_and_processes_share_the_memory(monkeypatch):
    monkeypatch.setattr(resources, "free_memory", lambda: 64 * EACH)
    assert forward_batch_size(network(), torch.rand(2, 3, 8, 8)) == 32
    monkeypatch.setattr(processes, "world_size", lambda: 4)
    assert forward_batch_size(network(), torch.rand(2, 3, 8, 8)) == 8
    monkeypatch.setattr(resources, "free_memory", lambda: 10**12)
    assert forward_batch_size(network()[:2], torch.rand(2, 3, 65, 8)) == MOST_LARGE


def test_of_a_network_whose_layers_cannot_be_seen_the_images_count(monkeypatch):
    monkeypatch.setattr(resources, "free_memory", lambda: 2 * 8 * 4 * COPIES * 3 * 64)
    assert forward_batch_size(lambda x: x.flatten(1), torch.rand(2, 3, 8, 8)) == 8


def test_outputs_in_tuples_count_and_a_tensor_that_is_given_twice_counts_once(monkeypatch):
    class Pair(nn.Module):
        def forward(self, x):
            return x + 1, [x.repeat(1, 2, 1, 1)]

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)[1][0]

    monkeypatch.setattr(resources, "free_memory", lambda: 2 * 4 * 4 * (COPIES + 1 + 2) * 3 * 64)
    assert forward_batch_size(Whole(), torch.rand(2, 3, 8, 8)) == 4


@pytest.mark.parametrize(("numbers", "expected"), [(2**31 - 1, 8192), (1000 * NUMBERS, 512)])
def test_on_a_gpu_the_free_memory_and_what_torch_keeps_of_it_count_and_no_tensor_is_too_long(
    numbers, expected, monkeypatch
):
    monkeypatch.setattr(passes, "_device_of", lambda *_: torch.device("cuda"))
    monkeypatch.setattr(passes, "_outputs", lambda *_: [torch.empty(NUMBERS)])
    monkeypatch.setattr(passes, "MOST_NUMBERS", numbers)
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    for name, found in (("memory_reserved", 6000), ("memory_allocated", 1000), ("mem_get_info", (15000, 99999))):
        value = tuple(n * EACH for n in found) if isinstance(found, tuple) else found * EACH
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert forward_batch_size(network(), torch.rand(2, 3, 8, 8)) == expected


def test_counting_changes_neither_network_nor_images(monkeypatch):
    class InPlace(nn.Module):
        def forward(self, x):
            return x.mul_(2).flatten(1)

    model, x = nn.Sequential(InPlace()), torch.rand(2, 3, 8, 8)
    before = x.clone()
    forward_batch_size(model, x)
    assert torch.equal(x, before) and not any(part._forward_hooks for part in model.modules())


def test_counting_leaves_running_statistics_and_modes_alone(monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 64, 4), nn.BatchNorm1d(4))
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    forward_batch_size(model, torch.rand(2, 3, 8, 8))  # BatchNorm1d in training mode refuses one image
    assert [part.training for part in model] == [False, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_batches_that_are_kept_are_the_same_whatever_memory_is_free(monkeypatch):
    sizes = []
    for free in (2 * EACH, 10**12):
        monkeypatch.setattr(resources, "free_memory", lambda free=free: free)
        sizes.append(passes.kept_batch_size(network(), torch.rand(2, 3, 8, 8)))
    assert sizes == [64, 64]
    monkeypatch.setenv("SPECTROSCOPE_BATCH_SIZE", "5")
    assert passes.kept_batch_size(network(), torch.rand(2, 3, 8, 8)) == 5


def test_the_environment_sets_the_first_number_and_a_wrong_one_is_refused(monkeypatch):
    monkeypatch.setenv("SPECTROSCOPE_BATCH_SIZE", "700")
    assert forward_batch_size(network(), torch.rand(2, 3, 8, 8)) == 700
    monkeypatch.setenv("SPECTROSCOPE_BATCH_SIZE", "0")
    with pytest.raises(ValueError, match="SPECTROSCOPE_BATCH_SIZE: expected a number of images >= 1, got '0'"):
        forward_batch_size(network(), torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize(("n", "parts"), [(7, [3, 3, 1]), (0, [0])])
def test_parts_are_joined_by_image(n, parts, monkeypatch):
    monkeypatch.setattr(passes, "forward_batch_size", lambda *_: 3)
    x, seen = torch.rand(n, 1, 2, 2), []

    def compute(rows):
        seen.append(len(x[rows]))
        return x[rows] + 1, x[rows].flatten(1).sum(1)

    one, other = passes.in_passes(nn.Identity(), x, compute)
    assert seen == parts and torch.equal(one, x + 1) and torch.equal(other, x.flatten(1).sum(1))
