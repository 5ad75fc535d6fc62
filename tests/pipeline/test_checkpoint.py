"""What a killed stage leaves is found again by the same work, and by no other."""

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


def interrupted(name="seed0", tensors=TENSORS, facts=FACTS, **work):
    """The store that a stage killed after one piece leaves."""
    with pytest.raises(KeyboardInterrupt), checkpoint.opened("training", **work or {"eps": 8}) as store:
        store.save(name, tensors, facts)
        raise KeyboardInterrupt
    return store


def finished(**work):
    with checkpoint.opened("training", **work or {"eps": 8}) as store:
        store.save("seed0", TENSORS, FACTS)
    return store


def record(root):
    """What dvc does once a stage has ended; the clock of a file system is coarse."""
    (root / "dvc.lock").touch()
    later = (root / "dvc.lock").stat().st_mtime + 1
    os.utime(root / "dvc.lock", (later, later))


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_an_interrupted_work_is_found_to_the_last_bit(root):
    interrupted()
    with checkpoint.opened("training", eps=8) as store:
        tensors, facts = store.load("seed0")
        assert store.load("seed1") is None
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)
    assert all(tensors[key].dtype == TENSORS[key].dtype for key in TENSORS)
    assert store.folder.parent == root / ".checkpoints" / "training@standard"


def test_a_later_piece_of_a_name_takes_the_place_of_the_earlier(root):
    with checkpoint.opened("training", eps=8) as store:
        store.save("seed0", TENSORS, {"epoch": 1})
        store.save("seed0", {}, {"epoch": 2})
        assert store.load("seed0") == ({}, {"epoch": 2})


def test_views_and_tensors_that_share_memory_are_saved_as_values(root):
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    given = {"one": base, "same": base, "turned": base.to(memory_format=torch.channels_last), "part": base[0, 0].T}
    with checkpoint.opened("training", eps=8) as store:
        store.save("seed0", given, {})
        found, _ = store.load("seed0")
    assert all(torch.equal(found[key], given[key]) for key in given)


@pytest.mark.parametrize("work", [{"eps": 4}, {"eps": 8, "images": "abc"}, {"eps": "8"}], ids=str)
def test_other_work_finds_nothing(root, work):
    first = interrupted()
    with checkpoint.opened("training", **work) as store:
        assert store.load("seed0") is None and store.folder != first.folder
    assert first.file("seed0").exists()


def test_other_code_finds_nothing(root, monkeypatch):
    interrupted()
    monkeypatch.setattr(checkpoint, "_code", lambda: "changed")
    with checkpoint.opened("training", eps=8) as store:
        assert store.load("seed0") is None


def test_the_code_is_the_source_of_what_is_loaded(tmp_path, monkeypatch):
    before = checkpoint._code()
    assert checkpoint._code() == before
    copy = tmp_path / "params.py"
    copy.write_text(Path(checkpoint.io.__file__).read_text() + "\n")
    monkeypatch.setattr(checkpoint.io.__spec__, "origin", str(copy))
    assert checkpoint._code() != before


def test_a_piece_of_other_work_is_refused_and_the_difference_named(root):
    first = interrupted(eps=4, images="abc")
    with checkpoint.opened("training", eps=8, images="abc") as store:
        store.file("seed0").write_bytes(first.file("seed0").read_bytes())
        with pytest.raises(
            ValueError, match=r"seed0\.safetensors: expected a checkpoint of this work, got .*another eps$"
        ):
            store.load("seed0")


@pytest.mark.parametrize("damage", ["cut", "no checkpoint"])
def test_a_damaged_piece_is_named(root, damage):
    with checkpoint.opened("training", eps=8) as store:
        store.save("seed0", TENSORS, FACTS)
        if damage == "cut":
            store.file("seed0").write_bytes(store.file("seed0").read_bytes()[:-5])
        else:
            save_file(TENSORS, store.file("seed0"))
        with pytest.raises(ValueError, match=r"seed0\.safetensors: expected a checkpoint, got a damaged .*remove it"):
            store.load("seed0")


def test_a_full_disk_leaves_the_last_good_piece(root, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with checkpoint.opened("training", eps=8) as store:
        store.save("seed0", TENSORS, FACTS)
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"seed0\.safetensors: expected to write this file, got: .*No space left"):
            store.save("seed0", {}, {})
        assert store.load("seed0")[1] == FACTS
        assert names(store.folder) == {"lock", "seed0.safetensors"}


def test_a_finished_store_stays_until_dvc_has_recorded_the_output(root):
    store = finished()
    with checkpoint.opened("training", eps=8) as again:  # dvc was killed before it wrote dvc.lock
        assert again.load("seed0")[1] == FACTS
    with checkpoint.opened("attacks", eps=1):
        assert store.file("seed0").exists()
    record(root)
    with checkpoint.opened("attacks", eps=2):
        assert not store.folder.exists()


def test_work_asked_for_again_after_it_was_recorded_is_done_again(root):
    finished()
    record(root)
    with checkpoint.opened("training", eps=8) as store:
        assert store.load("seed0") is None


def test_an_interrupted_store_is_not_removed_with_the_finished_ones(root):
    store = interrupted()
    record(root)
    with checkpoint.opened("training", eps=4):
        assert store.file("seed0").exists()


def test_without_dvc_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert interrupted().folder.parent == Path(".checkpoints/training")
    assert not finished().folder.exists()


OTHER = """
import sys, time
from spectroscope.pipeline import checkpoint
checkpoint._code = lambda: "same"
with checkpoint.opened("training", eps=8) as store:
    store.save("seed0", {}, {"made": "by another"})
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_gone_even_if_killed(root, monkeypatch):
    monkeypatch.setattr(checkpoint, "_code", lambda: "same")
    first = subprocess.Popen([sys.executable, "-c", OTHER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "open\n"
    with (
        pytest.raises(OSError, match=r"expected to be the only process at this work"),
        checkpoint.opened("training", eps=8),
    ):
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with checkpoint.opened("training", eps=8) as store:
        assert store.load("seed0") == ({}, {"made": "by another"})


def test_half_written_pieces_of_a_killed_process_are_cleared(root):
    store = interrupted()
    (store.folder / ".seed0.safetensors.99.part").write_text("half")
    with checkpoint.opened("training", eps=8) as again:
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


def test_facts_are_compared_as_they_are_read_back(root):
    interrupted(eps=8, bands=("low", "high"))
    with checkpoint.opened("training", eps=8, bands=["low", "high"]) as store:
        assert store.load("seed0")[1] == json.loads(json.dumps(FACTS))
