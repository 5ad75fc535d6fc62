"""The commands `repro` and `plan`: what is asked for is checked before any work, and told in lines."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spectroscope.pipeline import resources
from spectroscope.reproduce import commands, project, record, run
from spectroscope.reproduce import plan as plans
from spectroscope.reproduce.run import Outcome, Pipeline

THREADS = "OMP_NUM_THREADS"
LAUNCHER = "SPECTROSCOPE_LAUNCHER"  # as in pipeline.processes, whose import of torch takes seconds
Say = Callable[[str], None]


def repro(targets: Sequence[str], jobs: int, dask: str | None, say: Say) -> int:
    """Reproduce stages, cells or outputs of the project in the current folder, `jobs` cells at once.

    Returns the exit code: 0, 1 after a failure, 128 + the signal that stopped it. ValueError, before any work, for
    jobs < 1 and for what `project` refuses.
    """
    if jobs < 1:
        raise ValueError(f"--jobs: expected a number >= 1, got {jobs}")
    with project.locked() as repo:
        graph, steps = project.steps(repo, targets)
        folder = Path(repo.tmp_dir) / record.FOLDER
        cells = record.read(folder)
        if project.lock_differs_from_commit():
            say("dvc.lock is not as in the last commit: an earlier run was not committed, or it was edited")
        elsewhere = dask is not None or bool(os.environ.get(LAUNCHER, "").strip())
        if not elsewhere:
            jobs = _jobs_that_fit(jobs, [stage.addressing for stage in steps], cells, say)
        extra = {project.MARK: repo.root_dir}
        if jobs > 1 and not elsewhere and not os.environ.get(THREADS):
            extra[THREADS] = str(max(1, resources.cores() // jobs))
            say(f"{jobs} cells at once, threads of each: {extra[THREADS]}")
        # Before a connection to a cluster, which starts threads: only the first thread of a program gets signals.
        with run.caught_signals() as signals, _starter(dask, Path(repo.root_dir), folder) as start:
            pipeline = Pipeline(graph, steps, start, jobs, extra, folder, cells, say)
            outcome = run.reproduce(pipeline, signals)
    _tell(outcome, len(steps), say)
    if signals:
        return 128 + signals[0]
    return 1 if outcome.failed else 0


def plan(targets: Sequence[str], say: Say) -> None:
    """Say what `repro` would run and why. ValueError as `repro`."""
    with project.locked() as repo:
        graph, steps = project.steps(repo, targets)
        for line in plans.lines(graph, steps, record.read(Path(repo.tmp_dir) / record.FOLDER)):
            say(line)


@contextmanager
def _starter(dask: str | None, root: Path, folder: Path) -> Iterator[Callable[[commands.Task], run.Job]]:
    """What begins a task: a process here, or one on a cluster."""
    if dask is None:
        yield commands.Local
        return
    from spectroscope.reproduce.dask_cluster import Cluster

    cluster = Cluster(dask, root, folder)
    try:
        yield cluster.start
    finally:
        cluster.close()


def _jobs_that_fit(jobs: int, names: Sequence[str], cells: dict, say: Say) -> int:
    """The number of jobs that the memory bears, by what the cells took before; says so when it is less than `jobs`."""
    peaks = record.expected(cells, "peak_mb", names)
    available = resources.free_memory() / 1e6
    fit = record.affordable(peaks.values(), jobs, available)
    if fit < jobs:
        largest = sum(sorted(peaks.values(), reverse=True)[:jobs])
        say(
            f"--jobs: {jobs} cells at once may take {largest / 1e3:.1f} GB by what they took before, "
            f"{available / 1e3:.1f} GB are free: {fit} at once"
        )
    return fit


def _tell(outcome: Outcome, n: int, say: Say) -> None:
    """The end of the work in one line, and what was not done in another."""
    if outcome.failed or outcome.ended or outcome.not_begun:
        for name, reason in outcome.failed:
            say(f"{name} failed: {reason}")
        if outcome.ended:
            say(f"ended before they were finished: {', '.join(outcome.ended)}")
        say(f"{outcome.finished()} of {n} finished, {len(outcome.not_begun)} not begun; `repro` again goes on")
    elif not (outcome.ran or outcome.cached):
        say(f"nothing to do: all of {n} up to date")
    else:
        say(f"{len(outcome.ran)} ran, {len(outcome.cached)} from the cache, {len(outcome.up_to_date)} up to date")
