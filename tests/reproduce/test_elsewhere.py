"""Cells on other machines: through a launcher such as srun, or on a Dask cluster; DVC writes its files here alone."""

import os
import shutil
import signal
import sys
import threading
import time

import pytest

pytest.importorskip("dvc")

from spectroscope.reproduce import command, commands, dask_cluster, project
from tests import toy_study

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sessions and /proc"),
    pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning"),  # of DVC's own
]
SRUN = """#!/bin/sh
# A stand-in: writes its options and starts one task, as srun --exclusive -n1 does.
echo "$1 $2" >> srun.log
shift 2
SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 exec "$@"
"""
CELL = """
import os, sys
from pathlib import Path
from spectroscope.pipeline import processes
with processes.in_every_process("cell", sys.argv[1:]):
    name = os.environ.get("SLURM_NTASKS"), processes.world_size(), os.environ.get("OMP_NUM_THREADS")
    Path(sys.argv[1]).write_text(repr(name))
    sys.exit(0)
"""
CELLS = """
stages:
  cell:
    foreach: [a, b]
    do:
      cmd: python -m cell ${item}.txt
      outs: ["${item}.txt"]
      deps: [cell.py]
"""


@pytest.fixture
def at(monkeypatch):
    """A function that enters a folder, without the variables of the session around the tests."""

    def enter(folder):
        for name in [name for name in os.environ if name.startswith(("OMP_", "SPECTROSCOPE_", "DVC_", "SLURM_"))]:
            monkeypatch.delenv(name)
        for name in ("PATH", "SHELL"):
            monkeypatch.setenv(name, toy_study.environment()[name])
        monkeypatch.chdir(folder)

    return enter


def test_a_launcher_places_each_cell_and_none_waits_for_the_port_of_another(tmp_path, at, monkeypatch):
    study = toy_study.make(tmp_path / "study")
    (study / "dvc.yaml").write_text(CELLS)
    (study / "cell.py").write_text(CELL)
    (study / "srun").write_text(SRUN)
    (study / "srun").chmod(0o755)
    at(study)
    monkeypatch.setenv("SPECTROSCOPE_LAUNCHER", f"{study}/srun --exclusive -n1")
    monkeypatch.setenv("PYTHONPATH", str(toy_study.ROOT))
    lines = []
    assert command.repro([], 2, None, lines.append) == 0, lines
    assert (study / "srun.log").read_text() == "--exclusive -n1\n" * 2
    # Threads are not divided: the cores are those of other machines.
    assert [(study / f"{name}.txt").read_text() for name in "ab"] == ["('1', 1, None)"] * 2


@pytest.fixture(scope="module")
def cluster():
    """Address of a Dask cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        yield local.scheduler_address


@pytest.fixture
def study(tmp_path):
    return toy_study.make(tmp_path / "study")


def test_a_cluster_leaves_the_bytes_of_dvc_repro(study, cluster, at, tmp_path):
    shutil.copytree(study, tmp_path / "twin")
    at(study)
    lines = []
    assert command.repro([], 4, cluster, lines.append) == 0, lines
    assert lines[-1] == "12 ran, 0 from the cache, 0 up to date"
    assert toy_study.call(tmp_path / "twin", "dvc", "repro").returncode == 0
    assert toy_study.state(study) == toy_study.state(tmp_path / "twin")
    assert not list((study / ".dvc" / "tmp" / "spectroscope").glob("lease*"))


def test_a_cell_that_fails_on_a_cluster_is_named_with_what_it_printed(study, cluster, at):
    toy_study.edit(study, "say: two", "say: fail")
    at(study)
    lines = []
    assert command.repro([], 2, cluster, lines.append) == 1
    assert "training@b failed: exit code 3" in lines and "  this cell was told to fail" in lines


def test_a_cluster_that_sees_other_files_is_refused_before_any_work(study, cluster, at, monkeypatch):
    at(study)
    # Workers are told of another folder, as where a path is another folder on another machine.
    monkeypatch.setattr(dask_cluster.Cluster, "_beat", lambda self, count: None)
    with pytest.raises(ValueError, match=r"see the folder .*study, got another folder or none at tcp://"):
        command.repro([], 2, cluster, print)
    assert toy_study.began(study) == []


def test_a_worker_that_does_not_see_the_lease_begins_nothing(study, at):
    at(study)
    task = commands.Task((["touch", "begun"],), str(study), dict(os.environ), study / "log")
    code, _, reason = dask_cluster.run(task, str(study / "lease-1"), "1")
    assert code == 1 and reason.endswith(f" does not see {study / 'lease-1'}") and not (study / "begun").exists()


def test_what_the_cluster_says_of_a_worker_that_died_is_the_reason(study, at):
    distributed = pytest.importorskip("distributed")
    toy_study.edit(study, "study: 0", "study: 60")
    at(study)

    def kill():
        while not toy_study.began(study):
            time.sleep(0.05)
        os.kill(next(iter(own.workers.values())).pid, signal.SIGKILL)

    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as own, pytest.MonkeyPatch.context() as patch:
        patch.setattr(own.scheduler, "allowed_failures", 0)
        threading.Thread(target=kill, daemon=True).start()
        lines = []
        assert command.repro(["study"], 1, own.scheduler_address, lines.append) == 1
    project.end_orphans(str(study))  # a cell of a toy does not end with its worker, as that of a stage does
    (failed,) = [line for line in lines if line.startswith("study failed: ")]
    assert failed.startswith("study failed: the cluster says KilledWorker: ") and "exit code" not in failed


def test_nobody_at_the_address_is_one_sentence(study, at, monkeypatch):
    pytest.importorskip("distributed")
    at(study)
    with pytest.raises(ValueError, match="--dask: expected the address of a scheduler, got 'nonsense://x'"):
        command.repro([], 2, "nonsense://x", print)


def test_a_stop_ends_what_runs_on_the_cluster(study, cluster, at):
    toy_study.edit(study, "study: 0", "study: 300")
    at(study)

    def stop():
        while not toy_study.began(study):
            time.sleep(0.05)
        os.kill(os.getpid(), 2)

    threading.Thread(target=stop, daemon=True).start()
    lines = []
    assert command.repro([], 2, cluster, lines.append) == 130
    assert "ended before they were finished: study" in lines
    number = int((study / "began.log").read_text().split()[1])
    assert not os.path.exists(f"/proc/{number}")  # noqa: PTH110


def test_without_distributed_the_extra_is_named(study, at, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    at(study)
    with pytest.raises(ValueError, match=r"--dask: expected distributed, got no such module: pip install 'spectrosco"):
        command.repro([], 2, "tcp://127.0.0.1:1", print)
