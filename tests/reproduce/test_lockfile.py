"""dvc.lock is written in the bytes that DVC writes, in the order of `dvc repro`."""

from pathlib import Path

import pytest

from spectroscope.reproduce import lockfile

ROOT = Path(__file__).parents[2]
HEAD = "schema: '2.0'\nstages:\n"


def entry(name, value):
    return f"  {name}:\n    cmd: {value}\n    outs:\n    - path: {name}.txt\n"


def text(*names):
    return HEAD + "".join(entry(name, 1) for name in names)


def test_an_entry_that_is_there_is_replaced_in_its_place():
    new = lockfile.with_entry(text("b", "a@x"), "b", entry("b", 2), ["a@x", "b"], {"a@x", "b"})
    assert new == HEAD + entry("b", 2) + entry("a@x", 1)


def test_new_entries_stand_behind_the_old_ones_in_the_order_of_dvc_whichever_ended_first():
    order, before = ["a", "b", "c", "d"], {"d"}
    now = text("d")
    for name in ("c", "a", "b"):
        now = lockfile.with_entry(now, name, entry(name, 1), order, before)
    assert now == text("d", "a", "b", "c")


@pytest.mark.parametrize(
    "strange", ["schema: '1.0'\nstages:\n", text("a") + "datasets:\n- x\n", "a: 1\n", text("a") + entry("a", 1)]
)
def test_a_form_of_file_that_is_not_known_is_left_to_dvc(strange):
    assert lockfile.with_entry(strange, "a", entry("a", 1), ["a"], set()) is None


def test_the_first_entry_makes_the_file():
    assert lockfile.with_entry("", "a", entry("a", 1), ["a"], set()) == text("a")


def test_each_entry_of_the_committed_lock_is_what_dvc_writes_for_it_alone():
    serialize = pytest.importorskip("dvc.utils.serialize")
    path = ROOT / "dvc.lock"
    whole = path.read_text()
    stages = serialize.load_yaml(path)["stages"]
    assert lockfile.names(path) == list(stages)
    for name in [*list(stages)[:4], *list(stages)[4::9]]:  # each takes a while
        alone = serialize.dumps_yaml({"stages": {name: stages[name]}}).removeprefix("stages:\n")
        assert alone in whole
        assert lockfile.with_entry(whole, name, alone, [name], set(stages)) == whole


def test_a_merge_conflict_is_named_with_its_line(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text(text("a") + "<<<<<<< HEAD\n" + entry("b", 1) + "=======\n" + entry("b", 2) + ">>>>>>> other\n")
    with pytest.raises(ValueError, match=r"dvc\.lock: expected a lock file, got a merge conflict in line 7: resolve"):
        lockfile.refuse_conflicts(path)
    path.write_text(text("a"))
    lockfile.refuse_conflicts(path)
    lockfile.refuse_conflicts(tmp_path / "none")
