"""Cores and memory: what the machine has, or what the control group of this process leaves of it."""

import os
from types import SimpleNamespace

import psutil
import pytest

from spectroscope.pipeline import resources


def test_cores_are_those_that_the_process_may_run_on(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    assert resources.cores() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    assert resources.cores() == os.cpu_count()


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A function that writes the files of a control group (a path below the root); the process is in /job/step."""
    (tmp_path / "own").write_text("4:memory:/elsewhere\n0::/job/step\n")
    (tmp_path / "groups").mkdir()
    monkeypatch.setattr(resources, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(resources, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9000))

    def write(path, limit, used, files=0):
        folder = tmp_path / "groups" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\nactive_file {files // 2}\ninactive_file {files - files // 2}\n")

    return write


def test_without_a_limit_the_memory_of_the_machine_is_free(group, monkeypatch, tmp_path):
    assert resources.free_memory() == 9000
    group("job/step", "max", 4000)
    assert resources.free_memory() == 9000
    monkeypatch.setattr(resources, "OWN_GROUP", tmp_path / "absent")
    assert resources.free_memory() == 9000


def test_the_narrowest_group_around_the_process_limits_its_memory(group):
    group("job/step", "max", 400)
    group("job", 3000, 1000)
    assert resources.free_memory() == 2000
    group("", 1500, 600)
    assert resources.free_memory() == 900
    group("job/step", 300, 400)
    assert resources.free_memory() == 0


def test_files_that_are_kept_in_memory_count_as_free(group):
    group("job/step", 3000, 2900, files=2001)
    assert resources.free_memory() == 2101
