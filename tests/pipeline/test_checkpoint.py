"""Checkpoints of a killed stage run are found by the same run again, and by no other."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spectroscope.pipeline import checkpoint

ROOT = Path(__file__).parents[2]
TENSORS = {"weights": torch.arange(6.0).reshape(2, 3), "state": torch.tensor([1, 255], dtype=torch.uint8)}
FACTS = {"epoch": 3, "loss": 0.1 + 0.2, "rows": [{"a": 1e-17}]}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder that dvc would call its root, and a stage that it would have started."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "training@standard")
    return tmp_path


def interrupted(**provenance):
    """The store of a stage that was killed after one checkpoint."""
    with pytest.raises(KeyboardInterrupt), checkpoint.open_store("training", **provenance or {"eps": 8}) as store:
        store.save("seed0", TENSORS, FACTS)
        raise KeyboardInterrupt
    return store


def finished():
    with checkpoint.open_store("training", eps=8) as store:
        store.save("seed0", TENSORS, FACTS)
    return store


def record(root):
    """What dvc does once a stage has ended; the clock of a file system is coarse."""
    (root / "dvc.lock").touch()
    later = (root / "dvc.lock").stat().st_mtime + 1
    os.utime(root / "dvc.lock", (later, later))


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_an_interrupted_run_finds_its_checkpoint_bit_for_bit(root):
    interrupted()
    with checkpoint.open_store("training", eps=8) as store:
        tensors, facts = store.load("seed0")
        assert store.load("seed1") is None
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
    assert all(tensors[key].dtype == TENSORS[key].dtype for key in TENSORS)
    assert store.folder.parent == root / ".checkpoints" / "training@standard"


def test_a_later_checkpoint_replaces_the_earlier_of_its_name(root):
    with checkpoint.open_store("training", eps=8) as store:
        store.save("seed0", TENSORS, {"epoch": 1})
        store.save("seed0", {}, {"epoch": 2})
        assert store.load("seed0") == ({}, {"epoch": 2})


def test_views_and_tensors_that_share_memory_are_saved_as_values(root):
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    tensors = {"one": base, "same": base, "turned": base.to(memory_format=torch.channels_last), "part": base[0, 0].T}
    with checkpoint.open_store("training", eps=8) as store:
        store.save("seed0", tensors, {})
        loaded, _ = store.load("seed0")
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)


@pytest.mark.parametrize("provenance", [{"eps": 4}, {"eps": 8, "images": "abc"}, {"eps": "8"}], ids=str)
def test_a_run_with_other_settings_or_inputs_finds_nothing(root, provenance):
    first = interrupted()
    with checkpoint.open_store("training", **provenance) as store:
        assert store.load("seed0") is None and store.folder != first.folder
    assert first.path("seed0").exists()


def test_other_code_finds_nothing(root, monkeypatch):
    interrupted()
    monkeypatch.setattr(checkpoint, "_code_digest", lambda: "changed")
    with checkpoint.open_store("training", eps=8) as store:
        assert store.load("seed0") is None


def test_the_code_is_the_source_of_what_is_loaded(tmp_path, monkeypatch):
    before = checkpoint._code_digest()
    assert checkpoint._code_digest() == before
    copy = tmp_path / "params.py"
    copy.write_text(Path(checkpoint.io.__file__).read_text() + "\n")
    monkeypatch.setattr(checkpoint.io.__spec__, "origin", str(copy))
    assert checkpoint._code_digest() != before


def test_a_checkpoint_of_another_run_is_refused_and_the_difference_named(root):
    first = interrupted(eps=4, images="abc")
    with checkpoint.open_store("training", eps=8, images="abc") as store:
        store.path("seed0").write_bytes(first.path("seed0").read_bytes())
        with pytest.raises(
            ValueError, match=r"seed0\.safetensors: expected a checkpoint of this run, got .*another eps$"
        ):
            store.load("seed0")


@pytest.mark.parametrize("damage", ["cut", "no checkpoint", "one wrong byte", "another fact"])
def test_a_damaged_checkpoint_is_named(root, damage):
    with checkpoint.open_store("training", eps=8) as store:
        store.save("seed0", TENSORS, FACTS)
        if damage == "cut":
            store.path("seed0").write_bytes(store.path("seed0").read_bytes()[:-5])
        elif damage == "one wrong byte":
            content = store.path("seed0").read_bytes()
            store.path("seed0").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif damage == "another fact":
            content = store.path("seed0").read_bytes()
            digit = content.index(b"epoch") + len(r"epoch\": ")
            assert content[digit : digit + 1] == b"3"
            store.path("seed0").write_bytes(content[:digit] + b"4" + content[digit + 1 :])
        else:
            save_file(TENSORS, store.path("seed0"))
        with pytest.raises(ValueError, match=r"seed0\.safetensors: expected a checkpoint, got a damaged .*remove it"):
            store.load("seed0")


def test_a_full_disk_leaves_the_earlier_checkpoint(root, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with checkpoint.open_store("training", eps=8) as store:
        store.save("seed0", TENSORS, FACTS)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"seed0\.safetensors: expected to write this file, got: .*No space left"):
            store.save("seed0", {}, {})
        assert store.load("seed0")[1] == FACTS
        assert names(store.folder) == {"lock", "seed0.safetensors"}


def test_a_finished_store_stays_until_dvc_has_recorded_the_output(root):
    store = finished()
    with checkpoint.open_store("training", eps=8) as again:  # dvc was killed before it wrote dvc.lock
        assert again.load("seed0")[1] == FACTS
    with checkpoint.open_store("attacks", eps=1):
        assert store.path("seed0").exists()
    record(root)
    with checkpoint.open_store("attacks", eps=2):
        assert not store.folder.exists()


def test_a_run_that_was_recorded_is_computed_anew(root):
    finished()
    record(root)
    with checkpoint.open_store("training", eps=8) as store:
        assert store.load("seed0") is None


def test_an_interrupted_store_is_not_removed_with_the_finished_ones(root):
    store = interrupted()
    record(root)
    with checkpoint.open_store("training", eps=4):
        assert store.path("seed0").exists()


def test_without_dvc_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert interrupted().folder.parent == Path(".checkpoints/training")
    assert not finished().folder.exists()


OTHER = """
import sys, time
from spectroscope.pipeline import checkpoint
checkpoint._code_digest = lambda: "same"
with checkpoint.open_store("training", eps=8) as store:
    store.save("seed0", {}, {"made": "by another"})
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_gone_even_if_killed(root, monkeypatch):
    monkeypatch.setattr(checkpoint, "_code_digest", lambda: "same")
    first = subprocess.Popen([sys.executable, "-c", OTHER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "open\n"
    with (
        pytest.raises(OSError, match=r"expected to be the only process of this run, got another one: end it or wait$"),
        checkpoint.open_store("training", eps=8),
    ):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with checkpoint.open_store("training", eps=8) as store:
        assert store.load("seed0") == ({}, {"made": "by another"})


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.ENOLCK], ids=errno.errorcode.get)
def test_without_flock_a_file_is_the_lock_and_the_error_says_to_remove_it(root, monkeypatch, error):
    def flock(*arguments):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("fcntl.flock", flock)
    store = interrupted()
    assert names(store.folder) == {"lock", "seed0.safetensors"}
    left = store.folder / "lock.held"
    left.write_text("1\nanother-machine\n")  # as a process that was killed there leaves it
    with (
        pytest.raises(OSError, match=rf"end it or wait; if none runs, remove {re.escape(str(left))}$"),
        checkpoint.open_store("training", eps=8),
    ):
        pass
    left.unlink()
    with checkpoint.open_store("training", eps=8) as again:
        assert again.load("seed0")[1] == FACTS
    monkeypatch.delenv("DVC_STAGE")
    with checkpoint.open_store("training", eps=8) as alone:  # its folder is removed with the lock in it
        pass
    assert not alone.folder.exists()


def test_without_the_call_of_flock_the_error_says_which_file_to_remove(root, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", flock)
    store = interrupted()
    assert names(store.folder) == {"seed0.safetensors"}
    left = store.folder / "lock"
    left.write_text("1\nanother-machine\n")
    with (
        pytest.raises(OSError, match=rf"end it or wait; if none runs, remove {re.escape(str(left))}$"),
        checkpoint.open_store("training", eps=8),
    ):
        pass


def test_half_written_files_of_a_killed_process_are_removed(root):
    store = interrupted()
    (store.folder / ".seed0.safetensors.99.part").write_text("half")
    with checkpoint.open_store("training", eps=8) as again:
        assert names(again.folder) == {"lock", "seed0.safetensors"}


def test_a_digest_changes_with_content_and_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("1")
    first = checkpoint.digest(tmp_path / "a")
    assert re.fullmatch("[0-9a-f]{64}", first) and checkpoint.digest(tmp_path / "a") == first
    (tmp_path / "a" / "one").write_text("2")
    second = checkpoint.digest(tmp_path / "a")
    (tmp_path / "a" / "one").rename(tmp_path / "a" / "two")
    assert len({first, second, checkpoint.digest(tmp_path / "a")}) == 3


def test_a_tuple_and_a_list_are_the_same_provenance(root):
    interrupted(eps=8, bands=("low", "high"))
    with checkpoint.open_store("training", eps=8, bands=["low", "high"]) as store:
        assert store.load("seed0")[1] == json.loads(json.dumps(FACTS))


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_seconds_that_are_no_number_are_named(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(checkpoint.SECONDS, text)
    with checkpoint.open_store("training", x=1) as store:
        slot = store.checkpoint_file("seed0")
        with pytest.raises(ValueError, match=rf"{checkpoint.SECONDS}: expected a number of seconds >= 0, got '{text}'"):
            slot.due()
        monkeypatch.setenv(checkpoint.SECONDS, "")
        assert not slot.due()
