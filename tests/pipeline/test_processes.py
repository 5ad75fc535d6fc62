"""Two processes that share one computation give the result of one process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from spectroscope.pipeline import processes
from spectroscope.training import distribution
from tests import members

ROOT = Path(__file__).parents[2]
ALONE = slice(None)


def started(folder, *words, **environment):
    """`tests.members` in processes of its own, as a stage starts them, without the environment of a stage around it."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("DVC_STAGE", "DVC_ROOT")}
    inherited |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "tests.members", str(folder), *words]
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The results of two processes, by rank."""
    folder = tmp_path_factory.mktemp("two")
    done = started(folder, **{processes.COUNT: "2"})
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def losses(rows):
    return [row["loss"] for row in rows]


def close(first, second):
    return all(torch.allclose(first[key].float(), second[key].float(), atol=1e-4) for key in first)


# ---- sharing work


def test_every_item_of_a_list_and_a_batch_goes_to_one_process(two):
    assert [result["world"] for result in two] == [2, 2]
    assert [list(result["mine"]) for result in two] == [[0, 2, 4], [1, 3]]
    assert [result["shares"][0] for result in two] == [(0, 2, 0.4), (2, 5, 0.6)]
    assert [result["shares"][1] for result in two] == [(0, 1, 0.5), (1, 2, 0.5)]
    assert [result["shares"][2] for result in two] == [(0, 1, 0.5)] * 2


def test_batches_of_all_processes_have_the_size_that_each_of_them_can_pass(two):
    assert [result["batch size"] for result in two] == [32, 32]


def test_sums_and_broadcasts_reach_both_processes(two):
    for result in two:
        assert torch.equal(result["summed"], torch.full((2, 3), 3.0)) and result["scalar"] == 30
        assert result["sent"] == 0


def test_a_single_process_has_every_item_and_waits_for_nobody():
    assert (processes.rank(), processes.world_size(), processes.shard(5)) == (0, 1, (slice(0, 5), 1.0))
    assert list(processes.my_items(range(3))) == [0, 1, 2]
    tensor = torch.ones(2)
    processes.all_reduce_([tensor])
    processes.broadcast_([tensor])
    processes.barrier()
    assert torch.equal(tensor, torch.ones(2))


@pytest.mark.parametrize(("n", "size"), [(10, 3), (4, 1), (1000, 64)])
def test_batches_leave_no_process_without_images(monkeypatch, n, size):
    assert processes.batch_per_process(n, 64) == min(n, 64)
    monkeypatch.setattr(processes, "world_size", lambda: 4)
    assert processes.batch_per_process(n, 64) == size


def test_more_processes_than_images_are_refused(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 4)
    with pytest.raises(ValueError, match="expected at least 4 images, one a process, got 3"):
        processes.batch_per_process(3, 64)


# ---- training


@pytest.mark.parametrize("case", ["plain", "normalised", "penalty", "adversary", "ragged"])
def test_training_in_two_processes_is_training_in_one(two, case):
    options = {
        "plain": {"normalised": False},
        "normalised": {"normalised": True},
        "penalty": {"normalised": True, "regulariser": members.penalty},
        "adversary": {"normalised": True, "adversary": members.pgd_adversary("linf", 8 / 255, 4 / 255, 2, False)},
        "ragged": {"normalised": False, "batch_size": 59},
    }
    rows, weights = members.train(**options[case])
    for result in two:
        assert losses(result[case][0]) == pytest.approx(losses(rows), abs=1e-4)
        assert [row["clean"] for row in result[case][0]] == [row["clean"] for row in rows]
        assert [row["robust"] for row in result[case][0]] == [row["robust"] for row in rows]
        assert close(result[case][1], weights)
    assert {row["processes"] for row in rows} == {1} and {row["processes"] for row in two[0][case][0]} == {2}


def test_a_branch_that_one_process_alone_has_taken_moves_the_same_weights_in_both(two):
    (_, weights), (_, other) = (result["branching"] for result in two)
    assert all(torch.equal(weights[name], other[name]) for name in weights)
    start = members.Branching().state_dict()
    assert not torch.equal(weights["bright.weight"], start["bright.weight"])
    assert torch.equal(weights["unused.weight"], start["unused.weight"])  # no gradient anywhere: no weight decay either


def test_replicas_that_part_are_found_at_the_end_of_the_epoch(two):
    for result in two:
        assert result["parted"].startswith("expected the same weights in all processes, got others in dark.bias")


@pytest.mark.parametrize("kind", members.NORMS)
def test_every_kind_of_batch_norm_is_that_of_the_whole_batch(two, kind):
    whole = members.bare_norm(kind, ALONE)
    parts = torch.cat([result["layers"][kind]["outputs"] for result in two], 1)
    torch.testing.assert_close(parts, whole.pop("outputs"), atol=1e-5, rtol=1e-4)
    for name, value in whole.items():
        for result in two:
            torch.testing.assert_close(result["layers"][kind][name], value, atol=1e-6, rtol=1e-5)


def test_a_batch_norm_of_ones_own_is_not_replaced_in_silence():
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(ValueError, match=r"training\.batch_norm: expected per_process for the layer 1, a Own, or one"):
        distribution.synchronise_batch_norm(nn.Sequential(nn.ReLU(), Own(3)))


def test_batch_norm_per_process_gives_other_losses_but_the_same_network_in_both(two):
    (rows, weights), (other_rows, other) = two[0]["apart"], two[1]["apart"]
    assert max(abs(a - b) for a, b in zip(losses(rows), losses(two[0]["normalised"][0]), strict=True)) > 1e-4
    assert losses(rows) == losses(other_rows)
    assert all(torch.equal(weights[key], other[key]) for key in weights)


def test_batch_norm_synchronised_over_two_processes_equals_batch_norm_of_the_whole_batch(two):
    whole = members.normalised(members.batch(), ALONE)
    for name in ("out", "first", "second"):
        parts = torch.cat([result["layer"][name] for result in two])
        torch.testing.assert_close(parts, whole[name], atol=1e-5, rtol=1e-4)
    for name in ("mean", "var"):
        for result in two:
            torch.testing.assert_close(result["layer"][name], whole[name], atol=1e-6, rtol=1e-5)


def test_both_processes_use_one_checkpoint(two):
    assert [result["files"] for result in two] == [["lock", "training.safetensors"]] * 2
    assert all(torch.equal(two[0]["resumable"][1][key], two[1]["normalised"][1][key]) for key in two[0]["resumable"][1])


def test_more_processes_than_images_in_a_batch_are_refused(two):
    assert {result["refused"] for result in two} == {"expected batch_size >= 2, one image a process, got 1"}


# ---- starting processes


def test_a_process_that_fails_ends_the_others(tmp_path):
    began = time.monotonic()
    done = started(tmp_path, "fail", **{processes.COUNT: "2"})
    assert done.returncode == 3 and time.monotonic() - began < 300
    assert not list(tmp_path.glob("*.pt"))


def test_a_launcher_that_sets_no_rank_is_refused(monkeypatch):
    monkeypatch.setenv(processes.MEMBER, "1")
    for name in (
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "MASTER_ADDR",
        "MASTER_PORT",
        "SLURM_PROCID",
        "SLURM_LOCALID",
        "SLURM_NTASKS",
    ):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ValueError, match=r"SPECTROSCOPE_LAUNCHER: expected it to set RANK and LOCAL_RANK and WORLD"),
        processes.in_every_process("tests.members", []),
    ):
        pass


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "²", "9999999"])
def test_a_process_count_that_is_no_number_from_1_on_is_refused(monkeypatch, text):
    monkeypatch.setenv(processes.COUNT, text)
    with pytest.raises(ValueError, match=rf"SPECTROSCOPE_PROCESSES: expected a number of processes >= 1, got '{text}'"):
        processes.process_count()


def test_there_is_one_process_for_each_gpu_unless_the_environment_sets_the_number(monkeypatch):
    monkeypatch.delenv(processes.COUNT, raising=False)
    for gpus, wanted in ((0, 1), (1, 1), (4, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert processes.process_count() == wanted
    monkeypatch.setenv(processes.COUNT, "3")
    assert processes.process_count() == 3


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"])
def test_a_launcher_that_sets_no_number_is_refused(monkeypatch, name):
    usual = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for key, value in {**usual, processes.MEMBER: "1", name: "first"}.items():
        monkeypatch.setenv(key, value)
    with (
        pytest.raises(ValueError, match=rf"^{name}: expected a number, which the launcher sets, got 'first'"),
        processes.in_every_process("tests.members", []),
    ):
        pass


def test_the_only_process_of_a_launcher_needs_no_address_and_joins_no_group(monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {processes.MEMBER: "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end, processes.in_every_process("tests.members", []):
        assert (processes.rank(), processes.world_size()) == (0, 1)
        assert not torch.distributed.is_initialized()
        sys.exit(0)
    assert end.value.code == 0


def test_an_empty_launcher_is_none(monkeypatch):
    for name, value in ((processes.LAUNCHER, ""), (processes.MEMBER, ""), (processes.COUNT, "1")):
        monkeypatch.setenv(name, value)
    with processes.in_every_process("tests.members", []):
        assert processes.world_size() == 1
