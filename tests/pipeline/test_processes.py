"""Two processes at one work find what one process finds."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from spectroscope.pipeline import processes, progress
from tests import members

ROOT = Path(__file__).parents[2]
ALONE = slice(None)


def started(folder, *words, **environment):
    """`tests.members` as a stage would be started, without what this test run is told about processes."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("DVC_STAGE", "DVC_ROOT")}
    command = [sys.executable, "-m", "tests.members", str(folder), *words]
    given = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=folder, env=inherited | given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes wrote."""
    folder = tmp_path_factory.mktemp("two")
    done = started(folder, **{processes.COUNT: "2"})
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def losses(rows):
    return [row["loss"] for row in rows]


def close(first, second):
    return all(torch.allclose(first[key].float(), second[key].float(), atol=1e-4) for key in first)


# ---- what they share out


def test_items_and_batches_are_shared_out_once(two):
    assert [each["world"] for each in two] == [2, 2]
    assert [list(each["mine"]) for each in two] == [[0, 2, 4], [1, 3]]
    assert [each["shares"][0] for each in two] == [(0, 2, 0.4), (2, 5, 0.6)]
    assert [each["shares"][1] for each in two] == [(0, 1, 0.5), (1, 2, 0.5)]
    assert [each["shares"][2] for each in two] == [(0, 1, 0.5)] * 2


def test_sums_and_what_the_first_sends_reach_both(two):
    for each in two:
        assert torch.equal(each["summed"], torch.full((2, 3), 3.0)) and each["scalar"] == 30
        assert each["sent"] == 0


def test_a_process_alone_has_everything_and_waits_for_nobody():
    assert (processes.rank(), processes.world(), processes.shard(5)) == (0, 1, (slice(0, 5), 1.0))
    assert list(processes.my_items(range(3))) == [0, 1, 2]
    tensor = torch.ones(2)
    processes.all_reduce_([tensor])
    processes.broadcast_([tensor])
    processes.wait()
    assert torch.equal(tensor, torch.ones(2))


# ---- training


@pytest.mark.parametrize("case", ["plain", "normalised", "penalty", "adversary", "ragged"])
def test_training_is_that_of_one_process(two, case):
    options = {
        "plain": {"normalised": False},
        "normalised": {"normalised": True},
        "penalty": {"normalised": True, "regulariser": members.penalty},
        "adversary": {"normalised": True, "adversary": members.projected_gradient("linf", 8 / 255, 4 / 255, 2, False)},
        "ragged": {"normalised": False, "batch_size": 59},
    }
    rows, weights = members.train(**options[case])
    for each in two:
        assert losses(each[case][0]) == pytest.approx(losses(rows), abs=1e-4)
        assert [row["clean"] for row in each[case][0]] == [row["clean"] for row in rows]
        assert [row["robust"] for row in each[case][0]] == [row["robust"] for row in rows]
        assert close(each[case][1], weights)
    assert {row["processes"] for row in rows} == {1} and {row["processes"] for row in two[0][case][0]} == {2}


def test_batch_norm_of_each_process_is_another_training_but_one_network(two):
    (rows, weights), (other_rows, other) = two[0]["apart"], two[1]["apart"]
    assert max(abs(a - b) for a, b in zip(losses(rows), losses(two[0]["normalised"][0]), strict=True)) > 1e-4
    assert losses(rows) == losses(other_rows)
    assert all(torch.equal(weights[key], other[key]) for key in weights)


def test_batch_norm_over_two_processes_is_that_over_the_whole_batch(two):
    whole = members.normalised(members.batch(), ALONE)
    for name in ("out", "first", "second"):
        parts = torch.cat([each["layer"][name] for each in two])
        torch.testing.assert_close(parts, whole[name], atol=1e-5, rtol=1e-4)
    for name in ("mean", "var"):
        for each in two:
            torch.testing.assert_close(each["layer"][name], whole[name], atol=1e-6, rtol=1e-5)


def test_one_checkpoint_is_kept_for_both(two):
    assert [each["files"] for each in two] == [["kept.safetensors", "lock"]] * 2
    assert all(torch.equal(two[0]["kept"][1][key], two[1]["normalised"][1][key]) for key in two[0]["kept"][1])


def test_more_processes_than_images_in_a_batch_are_refused(two):
    assert {each["refused"] for each in two} == {"expected batch_size >= 2, one image a process, got 1"}


# ---- how they are started


def test_a_process_that_fails_ends_the_others(tmp_path):
    began = time.monotonic()
    done = started(tmp_path, "fail", **{processes.COUNT: "2"})
    assert done.returncode == 3 and time.monotonic() - began < 300
    assert not list(tmp_path.glob("*.pt"))


def test_a_launcher_that_tells_nobody_who_he_is_is_refused(monkeypatch):
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


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv(processes.COUNT, text)
    with pytest.raises(ValueError, match=rf"SPECTROSCOPE_PROCESSES: expected a number of processes >= 1, got '{text}'"):
        processes.process_count()


def test_there_is_a_process_for_each_gpu_unless_the_environment_says_more(monkeypatch):
    monkeypatch.delenv(processes.COUNT, raising=False)
    for gpus, wanted in ((0, 1), (1, 1), (4, 4)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert processes.process_count() == wanted
    monkeypatch.setenv(processes.COUNT, "3")
    assert processes.process_count() == 3


def test_the_first_process_alone_reports(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setenv("RANK", "1")
    assert list(progress.track(range(3), "work")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert list(progress.track(range(3), "work")) == [0, 1, 2]
    assert "work" in capsys.readouterr().err
