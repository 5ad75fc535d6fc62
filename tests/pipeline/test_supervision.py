"""Importing the package changes nothing; a stage that runs as a program ends with a message, or with its parent."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spectroscope.pipeline import supervision
from stages import Name

ROOT = Path(__file__).parents[2]
IMPORTS = """
import gc, json, os, pkgutil, sys, threading
os.environ["DVC_STAGE"] = "study"
import stages
for file in pkgutil.iter_modules(stages.__path__, "stages."):
    __import__(file.name)
heavy = sorted({"torchvision", "advertorch", "dvc"} & set(sys.modules))
import spectroscope
for file in pkgutil.walk_packages(spectroscope.__path__, "spectroscope."):
    __import__(file.name)
threads = [thread.name for thread in threading.enumerate()]
json.dump({"heavy": heavy, "threads": threads, "gc": [gc.isenabled(), gc.get_freeze_count()]}, sys.stdout)
"""


WITHOUT_TORCH = {"claims", "findings", "validation", "report"}
WITHOUT_STATISTICS = WITHOUT_TORCH - {"validation"}  # it takes ranks from scipy.stats


@pytest.fixture(scope="module")
def imported():
    """The state of a process that has imported every module as if it were a stage under dvc."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_every_module_starts_no_thread_and_leaves_garbage_collection_alone(imported):
    assert imported["threads"] == ["MainThread"]
    assert imported["gc"] == [True, 0]


def test_a_stage_that_is_a_program_collects_no_garbage_until_it_starts():
    show = "print(gc.isenabled())"
    code = f"import gc, sys; sys.argv = ['-m']; import stages; {show}; import spectroscope.pipeline.supervision as s"
    code += f"\ntry: s.start(lambda: {show})\nfinally: pass"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("stage", sorted(WITHOUT_TORCH))
def test_a_stage_without_tensors_does_not_import_torch(stage):
    code = f"import sys, stages.{stage}; print({{'torch', 'scipy.stats'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("set()" if stage in WITHOUT_STATISTICS else "{'scipy.stats'}")


def test_no_stage_imports_torchvision_advertorch_or_dvc_before_it_needs_them(imported):
    assert imported["heavy"] == []


@pytest.mark.parametrize("stage", ["study", "training"])
def test_a_python_without_the_dependencies_gives_one_line_that_says_what_to_do(stage):
    command = [sys.executable, "-S", "-m", f"stages.{stage}"]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    lacking = rf"{re.escape(sys.executable)} lacks .*torch.*: run `make repro`, or activate \.venv first"
    assert re.search(lacking, done.stderr)


@pytest.fixture
def run(monkeypatch):
    """A function that starts a stage in this process with these words on its command line; its exit code or message."""
    monkeypatch.setattr("gc.freeze", lambda: None)
    for name in ("DVC_STAGE", "RANK"):
        monkeypatch.delenv(name, raising=False)

    def started(main, *words):
        monkeypatch.setattr("sys.argv", ["stages/example.py", *words])
        with pytest.raises(SystemExit) as end:
            supervision.start(main)
        return end.value.code

    return started


@pytest.mark.parametrize("error", [ValueError("expected X, got Y"), OSError("expected X, got Y")])
def test_an_expected_error_is_one_message(run, error):
    def main() -> None:
        raise error

    assert run(main) == "stages.example: expected X, got Y"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no room: 2 GiB.\nmore"),
        MemoryError("no room: 2 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: no room: 2 GiB."),
    ],
)
def test_too_little_memory_is_one_message_with_what_to_do(run, error):
    def main() -> None:
        raise error

    advice = "more memory, smaller images or fewer of them are needed, since passes were halved down to one image"
    message = run(main)
    assert message.startswith("stages.example: expected enough memory, got: ") and "\n" not in message
    assert message.endswith(f"no room: 2 GiB.: {advice}")


@pytest.mark.parametrize("error", [KeyError("bug"), RuntimeError("bug")])
def test_an_unexpected_error_keeps_its_traceback(run, error):
    def main() -> None:
        raise error

    with pytest.raises(type(error), match="bug"):
        run(main)


def test_options_come_from_the_command_line(run, capsys):
    def main(run: Name) -> None:
        print(run)

    assert run(main, "--run", "standard") == 0 and capsys.readouterr().out == "standard\n"
    assert run(main, "--runs", "standard") == 2 and "No such option" in capsys.readouterr().err
