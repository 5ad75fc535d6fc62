"""`spectroscope repro` leaves the bytes that `dvc repro` leaves, runs cells at once, and ends well."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("dvc")

from spectroscope.pipeline import resources
from spectroscope.reproduce import command, lockfile, project, record
from tests import toy_study

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sessions and /proc"),
    pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning"),  # of DVC's own
]


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A toy study of which nothing has run."""
    return toy_study.make(tmp_path_factory.mktemp("toy") / "study")


@pytest.fixture(scope="module")
def by_dvc(committed, tmp_path_factory):
    """The same after `dvc repro`."""
    folder = tmp_path_factory.mktemp("dvc") / "study"
    shutil.copytree(committed, folder)
    done = toy_study.call(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def study(committed, tmp_path):
    shutil.copytree(committed, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def finished(by_dvc, tmp_path):
    shutil.copytree(by_dvc, tmp_path / "finished")
    (tmp_path / "finished" / "began.log").unlink()
    return tmp_path / "finished"


@pytest.fixture
def repro(monkeypatch):
    """A function that runs the command in a folder, in this process: its exit code and its lines."""
    for name in [name for name in os.environ if name.startswith(("OMP_", "SPECTROSCOPE_", "DVC_"))]:
        monkeypatch.delenv(name)
    for name in ("PATH", "SHELL"):
        monkeypatch.setenv(name, toy_study.environment()[name])

    def run(folder, *targets, jobs=1, dask=None):
        monkeypatch.chdir(folder)
        lines = []
        return command.repro(targets, jobs, dask, lines.append), lines

    return run


def spoken_of(lines, text):
    return {line.split(":")[0] for line in lines if text in line}


# ---- the same as `dvc repro`


@pytest.mark.parametrize("jobs", [1, 3])
def test_lock_outputs_cache_and_run_cache_are_those_of_dvc_repro_byte_for_byte(study, by_dvc, repro, jobs):
    code, lines = repro(study, jobs=jobs)
    assert code == 0 and lines[-1] == "12 ran, 0 from the cache, 0 up to date"
    ours, theirs = toy_study.state(study), toy_study.state(by_dvc)
    assert ours.keys() == theirs.keys() and len(ours) > 45
    assert [path for path in theirs if ours[path] != theirs[path]] == []
    assert "up to date" in toy_study.call(study, "dvc", "status").stdout
    code, lines = repro(study, jobs=jobs)
    assert code == 0 and lines[-1] == "nothing to do: all of 12 up to date"
    assert len(toy_study.began(study)) == 12


def test_a_frozen_stage_records_what_it_reads_once_that_is_made_as_dvc_repro_does(finished, repro, tmp_path):
    command_line = "cmd: python toy.py data/findings"
    toy_study.edit(finished, command_line, f"frozen: true\n    {command_line}", "dvc.yaml")
    toy_study.edit(finished, "say: two", "say: deux")
    (finished / "data" / "findings.txt").unlink()
    (finished / "data" / "findings.txt").write_text("of the user's own")
    twin = tmp_path / "twin"
    shutil.copytree(finished, twin)
    assert toy_study.call(twin, "dvc", "repro").returncode == 0
    code, lines = repro(finished, jobs=3)
    assert code == 0, lines
    assert toy_study.state(finished) == toy_study.state(twin)


def test_after_a_change_what_depends_on_it_runs_and_an_old_setting_comes_from_the_cache(finished, repro, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(finished, twin)
    for folder in (finished, twin):
        toy_study.edit(folder, "say: two", "say: deux")
    _, lines = repro(finished, jobs=2)
    assert toy_study.call(twin, "dvc", "repro").returncode == 0
    assert toy_study.state(finished) == toy_study.state(twin)
    ran = {"study", "training@b", "attacks@b-weak", "attacks@b-strong", "findings"}
    assert set(toy_study.began(finished)) == set(toy_study.began(twin)) == ran
    toy_study.edit(finished, "say: deux", "say: two")
    code, lines = repro(finished, jobs=2)
    # never from the cache, as with `dvc repro`: `study` persists, and `findings` has an output that is not cached
    assert code == 0 and lines[-1] == "2 ran, 3 from the cache, 7 up to date"
    assert spoken_of(lines, ": from the cache") == ran - {"study", "findings"}


def test_a_stage_whose_inputs_come_out_as_they_were_is_up_to_date(finished, repro):
    with (finished / "toy.py").open("a") as program:
        program.write("# a comment\n")
    code, lines = repro(finished, "training@a")
    assert code == 0 and toy_study.began(finished) == ["study", "images", "training@a"]
    with (finished / "params.yaml").open("a") as settings:
        settings.write("# a comment\n")
    code, lines = repro(finished, "training@a")
    assert lines[-1] == "nothing to do: all of 3 up to date"


def test_targets_are_stages_and_cells(study, repro):
    assert repro(study, "attacks@a-weak")[0] == 0
    assert toy_study.began(study) == ["study", "images", "training@a", "attacks@a-weak"]
    assert repro(study, "training", jobs=2)[0] == 0
    assert set(toy_study.began(study)[4:]) == {"training@b", "training@c"}


# ---- at once


def test_of_the_cells_that_could_begin_the_one_on_which_the_longest_work_waits_begins_first(finished, repro):
    toy_study.edit(finished, "training: 0", "training: 0.1")  # changes all three commands
    record.write(
        finished / ".dvc" / "tmp" / record.FOLDER,
        {"training@a": {"seconds": 5}, "training@b": {"seconds": 1}, "attacks@b-weak": {"seconds": 50}},
    )
    toy_study.edit(finished, "say: one", "say: un")
    assert repro(finished, "training", "attacks@b-weak", "attacks@c-weak")[0] == 0
    # 3 + 50 s (means of the stages), 1 + 50 s and 5 s
    assert toy_study.began(finished)[:4] == ["study", "training@c", "training@b", "training@a"]


def test_commands_of_a_list_run_one_after_the_other_until_one_fails(study, repro):
    two = "[echo first > a.txt, echo second, exit 4, echo third]"
    (study / "dvc.yaml").write_text(f"stages:\n  both: {{cmd: {two}, deps: [toy.py], outs: [a.txt]}}\n")
    code, lines = repro(study)
    assert code == 1 and "both failed: exit code 4" in lines and "  second" in lines and "  third" not in lines
    assert (study / "a.txt").read_text() == "first\n" and not (study / "dvc.lock").exists()


def test_cells_run_at_once_with_their_share_of_the_threads(finished, repro, monkeypatch):
    toy_study.edit(finished, "training: 0", "training: 0.8")
    monkeypatch.setattr(resources, "cores", lambda: 7)
    code, lines = repro(finished, "training", jobs=3)
    assert code == 0 and "3 cells at once, threads of each: 2" in lines
    rows = [line.split() for line in (finished / "began.log").read_text().splitlines()]
    rows = [row for row in rows if row[0].startswith("training")]
    assert len(rows) == 3 and {row[2] for row in rows} == {"2"}
    times = [float(row[3]) for row in rows]
    assert max(times) - min(times) < 0.7  # all began before the first was done
    known = json.loads((finished / ".dvc" / "tmp" / record.FOLDER / record.CELLS).read_text())
    assert 0.8 <= known["training@b"]["seconds"] < 8 and known["training@b"]["peak_mb"] > 5
    assert known["training@b"]["threads"] == "2" and known["training@b"]["jobs"] == 3


def test_one_job_leaves_the_number_of_threads_as_it_is_and_so_do_several_where_it_is_set(study, repro, monkeypatch):
    repro(study, "study")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    repro(study, "images", jobs=2)
    assert [line.split()[2] for line in (study / "began.log").read_text().splitlines()] == ["None", "5"]


def test_more_jobs_than_the_memory_bears_are_made_fewer(study, repro, monkeypatch):
    record.write(study / ".dvc" / "tmp" / record.FOLDER, {"training@a": {"seconds": 4, "peak_mb": 1500}})
    monkeypatch.setattr(resources, "free_memory", lambda: 4_000_000_000)
    _, lines = repro(study, "study", "training", jobs=8)
    said = "8 cells at once may take 7.5 GB by what they took before, 4.0 GB are free: 2 at once"
    assert f"--jobs: {said}" in lines


# ---- what is refused before any work


def test_fewer_jobs_than_one_and_unknown_targets_are_refused(study, repro):
    for jobs in (0, -2):
        with pytest.raises(ValueError, match=f"--jobs: expected a number >= 1, got {jobs}"):
            repro(study, jobs=jobs)
    with pytest.raises(ValueError, match=r"expected a stage, a cell or an output, got 'traning'; nearest: training"):
        repro(study, "traning")
    assert toy_study.began(study) == []


def test_a_lock_in_conflict_a_damaged_one_and_one_that_is_not_committed_are_named(finished, repro):
    lock = finished / "dvc.lock"
    text = lock.read_text()
    toy_study.call(finished, "git", "add", "--all")
    toy_study.call(finished, "git", "commit", "--quiet", "--message", "Results")
    assert "last commit" not in repro(finished)[1][0]
    lock.write_text(text.replace("    cmd:", "    cmd: x", 1))
    assert "dvc.lock is not as in the last commit" in repro(finished, "study")[1][0]
    lock.write_text(text + "<<<<<<< HEAD\n")
    with pytest.raises(ValueError, match=r"dvc\.lock: expected a lock file, got a merge conflict in line \d+"):
        repro(finished)
    lock.write_text(text[: len(text) // 2] + "\n  {")
    with pytest.raises(ValueError, match=r"dvc\.lock"):
        repro(finished)


def test_the_command_gives_one_sentence_and_no_traceback(study, tmp_path):
    done = toy_study.call(study, *toy_study.spectroscope("repro", "-j", "0"))
    assert done.returncode == 2 and done.stdout == "spectroscope: --jobs: expected a number >= 1, got 0\n"
    done = toy_study.call(tmp_path, *toy_study.spectroscope("plan"))
    assert done.returncode == 2 and done.stdout.startswith("spectroscope: ") and done.stdout.count("\n") == 1


# ---- ends


def driver(folder, *words):
    """A running driver in a process of its own."""
    return subprocess.Popen(
        toy_study.spectroscope("repro", *words),
        cwd=folder,
        env=toy_study.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cells_alive(folder):
    """Processes of cells of this project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(project.MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def wait_for(condition, process=None):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until and (process is None or process.poll() is None)
        time.sleep(0.01)


def test_after_a_failure_nothing_begins_and_what_runs_is_kept(finished, repro):
    toy_study.edit(finished, "say: two", "say: fail")
    toy_study.edit(finished, "say: one", "say: un")
    toy_study.edit(finished, "training: 0", "training: 0.5")
    code, lines = repro(finished, jobs=3)
    assert code == 1
    assert "training@b: failed: exit code 3; nothing new begins" in lines and "  this cell was told to fail" in lines
    assert "training@b failed: exit code 3" in lines
    assert set(toy_study.began(finished)) == {"study", "training@a", "training@b", "training@c"}
    assert re.fullmatch(r"4 of 12 finished, 7 not begun; `repro` again goes on", lines[-1])
    toy_study.edit(finished, "say: fail", "say: two")
    code, lines = repro(finished, jobs=3)
    assert code == 0 and {"training@a", "training@c"} <= spoken_of(lines, ": up to date")


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("toy.py", "import hashlib", "import   hashlib", "toy.py"),
        ("params.yaml", "say: two", "say: deux", "params.yaml"),
    ],
)
def test_a_result_whose_source_or_setting_changed_while_it_was_made_is_not_recorded(
    study, repro, file, old, new, named
):
    toy_study.edit(study, "training: 0", "training: 1")

    def edit():
        wait_for(lambda: "training@b" in toy_study.began(study))
        toy_study.edit(study, old, new, file)

    editor = threading.Thread(target=edit)
    editor.start()
    code, lines = repro(study, "training@b")
    editor.join()
    assert code == 1 and lines[-1] == "2 of 3 finished, 0 not begun; `repro` again goes on"
    assert f"training@b failed: {named} changed while it ran: its result is not recorded" in lines
    assert list(lockfile.names(study / "dvc.lock")) == ["study", "images"]
    assert repro(study, "training@b")[0] == 0
    assert "training@b" in lockfile.names(study / "dvc.lock")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_processes_and_keeps_what_is_finished(study, number, code):
    toy_study.edit(study, "training: 0", "training: 60")
    process = driver(study, "-j", "2")
    wait_for(lambda: len(toy_study.began(study)) == 4, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code, output
    assert "ended before they were finished: training@" in output and "Traceback" not in output
    assert cells_alive(study) == []
    assert not list((study / "data").glob("models/*")) and not list(study.rglob("*.part"))
    lock = (study / "dvc.lock").read_text()
    assert "  study:\n" in lock and "  images:\n" in lock and "  training@a:\n" not in lock


def test_beside_a_driver_a_second_one_and_dvc_repro_are_refused_and_a_driver_beside_dvc_repro(study):
    toy_study.edit(study, "study: 0", "study: 60")
    first = driver(study)
    wait_for(lambda: toy_study.began(study), first)
    second = toy_study.call(study, *toy_study.spectroscope("repro"))
    assert second.returncode == 2 and second.stdout.count("\n") == 1
    assert second.stdout.startswith("spectroscope: expected to be the only process of this project, got another one")
    theirs = toy_study.call(study, "dvc", "repro")
    assert theirs.returncode != 0 and "lock" in theirs.stdout
    first.send_signal(signal.SIGTERM)
    first.communicate()
    plain = subprocess.Popen(
        ["dvc", "repro", "--quiet"], cwd=study, env=toy_study.environment(), start_new_session=True
    )
    wait_for(lambda: len(toy_study.began(study)) == 2, plain)
    second = toy_study.call(study, *toy_study.spectroscope("repro"))
    os.killpg(plain.pid, signal.SIGKILL)
    plain.wait()
    assert second.returncode == 2 and f"got process {plain.pid} (" in second.stdout
    assert len(toy_study.began(study)) == 2


def test_a_driver_killed_at_ten_random_moments_leaves_what_a_new_one_finishes_to_the_same_bytes(
    committed, study, tmp_path
):
    """Cells of a toy do not end with a killed driver, as those of a stage do: the next driver ends them."""
    for folder in (study, tmp_path / "undisturbed"):
        if folder != study:
            shutil.copytree(committed, folder)
        toy_study.edit(folder, "{study: 0, training: 0, attacks: 0}", "{study: 0.2, training: 0.5, attacks: 0.3}")
    assert toy_study.call(tmp_path / "undisturbed", "dvc", "repro").returncode == 0
    chance = random.Random(0)
    for _ in range(10):
        process = driver(study, "-j", "2")
        begun = len(toy_study.began(study))
        wait_for(lambda: len(toy_study.began(study)) > begun or process.poll() is not None)  # noqa: B023
        time.sleep(chance.uniform(0, 0.8))
        process.kill()
        process.communicate()
    left = set(cells_alive(study))
    done = toy_study.call(study, *toy_study.spectroscope("repro", "-j", "2"))
    assert done.returncode == 0, done.stdout
    assert not left & set(cells_alive(study))
    ours, theirs = toy_study.state(study), toy_study.state(tmp_path / "undisturbed")
    # DVC writes an entry of its cache under a random name first, and leaves that file when it is killed. Other projects
    # may share the cache, so that the driver must not remove it.
    ours = {path: content for path, content in ours.items() if not re.search(r"^\.dvc/cache/.*/\.[^/]+\.tmp$", path)}
    assert ours.keys() == theirs.keys()
    assert [path for path in theirs if ours[path] != theirs[path]] == []


def test_a_new_driver_ends_what_a_killed_one_left(study):
    toy_study.edit(study, "study: 0", "study: 60")
    process = driver(study)
    wait_for(lambda: toy_study.began(study), process)
    process.kill()
    process.communicate()
    assert cells_alive(study)
    toy_study.edit(study, "study: 60", "study: 0")
    done = toy_study.call(study, *toy_study.spectroscope("repro", "study"))
    assert done.returncode == 0 and cells_alive(study) == [], done.stdout


def test_what_a_killed_cell_left_half_written_is_removed_when_it_runs_again(study, repro):
    attacks = study / "data" / "attacks"
    attacks.mkdir(parents=True)
    left = [attacks / f".{name}.txt.123.part" for name in ("a-weak", "a-strong")]
    for part in left:
        part.write_text("half")
    assert repro(study, "attacks@a-weak")[0] == 0
    assert sorted(file.name for file in attacks.iterdir()) == [left[1].name, "a-weak.txt"]


def test_empty_folders_in_the_run_cache_which_a_kill_left_are_no_entries(finished, by_dvc, repro):
    entries = [file for file in (finished / ".dvc" / "cache" / "runs").rglob("*") if file.is_file()]
    assert len(entries) == 10  # `study` persists, and `findings` has an output that is not cached
    for file in entries:
        file.unlink()
    (finished / "dvc.lock").unlink()
    code, lines = repro(finished, jobs=2)
    assert code == 0 and lines[-1] == "12 ran, 0 from the cache, 0 up to date", lines
    assert toy_study.state(finished) == toy_study.state(by_dvc)


def test_half_a_file_of_dvc_locks_that_a_kill_left_is_removed(finished, repro):
    file = Path(finished) / ".dvc" / "tmp" / "rwlock"
    file.write_text('{"write": {')
    assert repro(finished)[0] == 0
