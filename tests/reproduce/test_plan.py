"""`spectroscope plan` says in words what would run and why."""

import shutil

import pytest

pytest.importorskip("dvc")

from spectroscope.reproduce import command, plan, record
from tests import toy_study

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of DVC's own


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A toy study of which nothing has run, and a copy after `repro`."""
    folder = tmp_path_factory.mktemp("toy")
    toy_study.make(folder / "new")
    shutil.copytree(folder / "new", folder / "done")
    done = toy_study.call(folder / "done", *toy_study.spectroscope("repro", "-j", "2"))
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def planned(studies, tmp_path, monkeypatch):
    """A function: the lines of `plan` in a copy of a study after a change of params.yaml."""

    def lines(name, *targets, **edits):
        shutil.copytree(studies / name, tmp_path / name)
        for old, new in edits.items():
            toy_study.edit(tmp_path / name, old.replace("_", ": "), new)
        monkeypatch.chdir(tmp_path / name)
        said = []
        command.plan(targets, said.append)
        return said

    return lines


def test_what_never_ran_is_named_as_such(planned):
    lines = planned("new")
    assert lines[0] == "study: never run" and lines[-1] == "12 of 12 cells to run or to fetch from the cache"
    assert len(lines) == 13


def test_nothing_to_do(planned):
    assert planned("done") == ["nothing to do: 12 cells up to date"]


@pytest.mark.parametrize(
    ("target", "cells"),
    [
        ("data/images.txt", {"study", "images"}),
        ("./data/models/b", {"study", "images", "training@b"}),
        ("data/models/b/one", {"study", "images", "training@b"}),
        ("data/attacks/a-weak.txt", {"study", "images", "training@a", "attacks@a-weak"}),
        ("data/models", {"study", "images", "training@a", "training@b", "training@c"}),
    ],
)
def test_an_output_as_target_means_what_makes_it(planned, target, cells):
    assert {line.partition(":")[0] for line in planned("new", target)[:-1]} == cells


def test_a_frozen_stage_is_named_for_its_outputs_alone(planned, tmp_path):
    planned("done")
    study = tmp_path / "done"
    toy_study.edit(
        study, "cmd: python toy.py data/findings", "frozen: true\n    cmd: python toy.py data/findings", "dvc.yaml"
    )
    with (study / "toy.py").open("a") as program:
        program.write("# more\n")
    said = []
    command.plan(["findings"], said.append)
    assert said == ["nothing to do: 1 cell up to date"]
    (study / "data" / "findings.txt").unlink()
    (study / "data" / "findings.txt").write_text("mine")
    command.plan(["findings"], said.append)
    assert said[1].startswith("findings: output data/findings.txt changed (")


@pytest.mark.parametrize(("old", "new"), [("schema: '2.0'", 'schema: "2.0"'), ("schema", "# by hand\nschema")])
def test_a_lock_in_another_form_of_yaml_has_run_too(planned, tmp_path, old, new):
    planned("done")
    toy_study.edit(tmp_path / "done", old, new, "dvc.lock")
    said = []
    command.plan([], said.append)
    assert said == ["nothing to do: 12 cells up to date"]


def test_a_changed_setting_is_named_with_both_values_and_what_follows_is_named_with_what_it_waits_for(planned):
    lines = planned("done", eps_2="eps: 3")
    by_cell = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines[:-2]}
    assert by_cell["attacks@a-strong"].startswith("attacks.strong.eps changed from 2 to 3 (")
    assert by_cell["attacks@a-strong"].endswith(" last time)")
    assert by_cell["images"].startswith("if the results of study change (")
    # Not of training@a, which itself changes only if `study` or `images` do: what has a reason of its own is named.
    assert by_cell["attacks@a-weak"].startswith("if the results of study change (")
    assert by_cell["findings"].startswith("attacks.strong.eps changed from 2 to 3 (")
    assert lines[-2].startswith("5 of 12 cells to run or to fetch from the cache, ")
    assert lines[-1].startswith("7 more if those results change, ")
    assert lines[-1].endswith(" one after the other by last time's figures")


def test_an_output_that_is_gone_and_a_changed_program_are_named(planned, studies, tmp_path, monkeypatch):
    planned("done")
    (tmp_path / "done" / "data" / "images.txt").unlink()
    shutil.rmtree(tmp_path / "done" / "data" / "models" / "a")
    with (tmp_path / "done" / "toy.py").open("a") as program:
        program.write("# more\n")
    said = []
    command.plan(["training@a"], said.append)
    assert said[0].startswith("study: toy.py changed (")
    assert said[1].startswith("images: toy.py changed, output data/images.txt is missing (")
    assert said[2].startswith("training@a: toy.py changed, output data/models/a is missing (")
    shutil.rmtree(tmp_path / "done" / "data" / "attacks")  # `findings` needs the folder, which others would make
    said = []
    command.plan(["findings"], said.append)
    assert said[-2].startswith("findings: toy.py changed (")


def test_differences_are_named_by_the_key_of_each_part():
    old = {"epochs": 6, "lr": {"first": 0.1, "last": 0}, "seeds": [0, 1], "gone": 1}
    new = {"epochs": 8, "lr": {"first": 0.1, "last": 0.01}, "seeds": [0], "more": {"x": 1}}
    assert plan.differences("training", old, new) == [
        "training.epochs changed from 6 to 8",
        "training.lr.last changed from 0 to 0.01",
        "training.seeds changed from [0, 1] to [0]",
        "training.gone was removed",
        "training.more is new",
    ]


def test_times_of_last_time_are_summed(planned, studies):
    record.write(studies / "new" / ".dvc" / "tmp" / record.FOLDER, {"study": {"seconds": 100}})
    lines = planned("new", "images")
    assert lines == [
        "study: never run (2 min last time)",
        "images: never run",
        "2 of 2 cells to run or to fetch from the cache, "
        "2 min one after the other by last time's figures (1 never timed here)",
    ]
