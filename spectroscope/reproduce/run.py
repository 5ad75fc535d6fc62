"""Run what has changed in a DVC pipeline, several commands at once, and record it as `dvc repro` does.

Commands run in processes of their own. Everything that DVC writes (outputs from its cache, cache, dvc.lock) is written
by this process, in one thread, between two looks at the processes: the parts of DVC's `Stage.reproduce` before and
after the command, in its order.
"""

import glob
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from spectroscope.reproduce import commands, lockfile, record
from spectroscope.reproduce.commands import Exit, Task
from spectroscope.reproduce.record import spoken

SECONDS_BETWEEN_LOOKS = 0.03
LINES_OF_FAILURE = 15


class Job(Protocol):
    """A task that has begun."""

    def poll(self) -> Exit | None:
        """How it ended, None while it runs."""

    def ask(self) -> None:
        """Ask it to end, and do not wait."""

    def end(self) -> None:
        """End it and wait until it has ended."""


@dataclass
class Pipeline:
    """What is to be done, and what is known beforehand.

    `graph`, `steps`: from `project.steps`. `start` begins a task. `extra`: environment variables for each command.
    `cells`: what `record.read` found; the cells that run are added.
    """

    graph: Any
    steps: list[Any]
    start: Callable[[Task], Job]
    jobs: int
    extra: Mapping[str, str]
    folder: Path  # of logs and records
    cells: dict[str, dict[str, Any]]
    say: Callable[[str], None]

    def seconds(self) -> dict[str, float]:
        """Expected seconds of each cell, by what ran here before; {} when nothing did."""
        return record.expected(self.cells, "seconds", [stage.addressing for stage in self.steps])


@dataclass
class Outcome:
    """Cells by how they ended. `failed`: cell and reason."""

    up_to_date: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def finished(self) -> int:
        """Number of cells whose results are there."""
        return len(self.up_to_date) + len(self.cached) + len(self.ran)


@dataclass(frozen=True)
class Running:
    """A cell whose command runs. `read`: what its dependencies were when it began."""

    job: Job
    began: float
    read: list[Any]


@dataclass
class Work:
    """How far the work is. `before`: entries that dvc.lock had when it began."""

    pipeline: Pipeline
    signals: Sequence[int]
    before: set[str]
    waiting: list[Any]  # not looked at yet
    changed: list[Any] = field(default_factory=list)  # to be run
    running: dict[Any, "Running"] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)

    def stops(self) -> bool:
        """Whether nothing new may begin."""
        return bool(self.signals or self.outcome.failed)

    def say(self, stage: Any, text: str, seconds_left: float = 0.0) -> None:
        """A line of progress about a stage, with the time left where that is known."""
        finished = f"{self.outcome.finished()} of {len(self.pipeline.steps)} finished"
        more = f", about {spoken(seconds_left)} left" if seconds_left else ""
        self.pipeline.say(f"{stage.addressing}: {text} ({finished}{more})")


def reproduce(pipeline: Pipeline, signals: Sequence[int]) -> Outcome:
    """Reproduce the steps of a pipeline.

    After a failure nothing new begins, and what runs is finished. When `signals` is no longer empty, processes that
    have ended are recorded and the others are ended.
    """
    work = Work(pipeline, signals, _entries_before(pipeline), _by_urgency(pipeline))
    try:
        while work.waiting or work.changed or work.running:
            for stage, running in list(work.running.items()):
                if (end := running.job.poll()) is not None:
                    del work.running[stage]
                    _settle(work, stage, end, running)
            if signals:
                work.outcome.ended = [stage.addressing for stage in work.running]
                _end_all(work)
            for stage in _ready(work):
                if not work.stops():
                    work.waiting.remove(stage)
                    _look_at(work, stage)
            while work.changed and len(work.running) < pipeline.jobs and not work.stops():
                _begin(work, work.changed.pop(0))
            if work.stops():
                work.outcome.not_begun += [stage.addressing for stage in (*work.changed, *work.waiting)]
                work.changed.clear()
                work.waiting.clear()
            if work.running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        _end_all(work)  # what an error of this program left
    if work.outcome.finished() == len(pipeline.steps):
        _order_file(pipeline).unlink(missing_ok=True)
    return work.outcome


@contextmanager
def caught_signals() -> Iterator[list[int]]:
    """Signals to end that this process received within the block, in place of ending at once within DVC's work."""
    received: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup the work outlives its terminal
        numbers.append(signal.SIGHUP)
    old = {number: signal.signal(number, lambda got, _: received.append(got)) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _ready(work: Work) -> list[Any]:
    """Stages not looked at yet, of which all that they need is finished.

    A frozen stage has no edges in the graph of what DVC reproduces; what it records of its dependencies still waits
    for them, in the whole graph.
    """
    unfinished = {*work.waiting, *work.changed, *work.running}

    def needed(stage: Any) -> Any:
        graph = stage.repo.index.graph if stage.frozen else work.pipeline.graph
        return graph.successors(stage)

    return [stage for stage in work.waiting if unfinished.isdisjoint(needed(stage))]


def _end_all(work: Work) -> None:
    for running in work.running.values():
        running.job.ask()
    while work.running:
        work.running.popitem()[1].job.end()


def _look_at(work: Work, stage: Any) -> None:
    """Put a stage whose upstream is finished among those that changed, or among those that are up to date."""
    from dvc.repo.reproduce import _reproduce_stage

    upstream = list(work.pipeline.graph.successors(stage))
    try:
        if not stage.cmd or stage.frozen:  # a file that was added or imported, or a stage that the user froze
            done = work.outcome.ran if _reproduce_stage(stage, upstream=upstream) else work.outcome.up_to_date
            done.append(stage.addressing)
        elif stage.changed(False, upstream):
            work.changed.append(stage)
            work.changed.sort(key=_by_urgency(work.pipeline).index)
        else:
            work.outcome.up_to_date.append(stage.addressing)
            work.say(stage, "up to date")
    except Exception as error:  # of DVC, git or the system: the cell is named, the others are finished
        _fail(work, stage, str(error))


def _begin(work: Work, stage: Any) -> None:
    """Begin a stage that changed, unless DVC's cache has its result."""
    from dvc.stage.cache import RunCacheNotFoundError

    try:
        stage.remove_outs(ignore_remove=False, force=False)
        _remove_parts(stage)
        try:
            _restore(stage)
        except RunCacheNotFoundError:
            stage.save_deps()
            job = work.pipeline.start(commands.task(stage, _log(work, stage), work.pipeline.extra))
            work.running[stage] = Running(job, time.monotonic(), [dep.hash_info for dep in stage.deps])
            work.say(stage, "started", _time_left(work))
            return
        _save(work, stage)
        work.outcome.cached.append(stage.addressing)
        work.say(stage, "from the cache")
    except Exception as error:  # of DVC, git or the system: the cell is named, the others are finished
        _fail(work, stage, str(error))


def _restore(stage: Any) -> None:
    """Check the result of a stage out of DVC's cache; RunCacheNotFoundError when it is not there."""
    from dvc.stage.cache import RunCacheNotFoundError, _get_stage_hash

    runs = stage.repo.stage_cache
    try:
        runs.restore(stage, run_cache=True, pull=False)
    except TypeError:
        # A kill between two steps of DVC leaves the folder of an entry empty, at which DVC fails from then on.
        folder = Path(runs._get_cache_dir(_get_stage_hash(stage)))
        if any(folder.iterdir()):
            raise
        folder.rmdir()
        raise RunCacheNotFoundError(stage) from None


def _remove_parts(stage: Any) -> None:
    """Remove what a killed process left half written beside an output: the temporary files of `pipeline.files`."""
    for path in (Path(out.fs_path) for out in stage.outs):
        for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            part.unlink()


def _settle(work: Work, stage: Any, end: Exit, running: Running) -> None:
    """Record a stage whose command has ended, unless a dependency is no longer what it was at the begin."""
    seconds = time.monotonic() - running.began
    if end.code:
        text = f"exit code {end.code}" if end.code > 0 else f"ended by signal {-end.code}"
        _fail(work, stage, end.reason or text, _log(work, stage))
        return
    try:
        stage.repo._reset()  # as `dvc repro` does at a command, which may have changed what DVC has read
        stage.save_deps()
        pairs = zip(stage.deps, running.read, strict=True)
        if changed := [str(dep) for dep, before in pairs if dep.hash_info != before]:
            # DVC would record the new dependency with the result of the old one.
            _fail(work, stage, f"{', '.join(changed)} changed while it ran: its result is not recorded")
            return
        _save(work, stage)
    except Exception as error:  # of DVC, git or the system: the cell is named, the others are finished
        _fail(work, stage, str(error), _log(work, stage))
        return
    work.outcome.ran.append(stage.addressing)
    pipeline = work.pipeline
    known = {"seconds": round(seconds, 2), "peak_mb": round(end.peak_mb), "jobs": pipeline.jobs}
    pipeline.cells[stage.addressing] = {**known, "threads": pipeline.extra.get("OMP_NUM_THREADS")}
    record.write(pipeline.folder, pipeline.cells)
    work.say(stage, f"done in {spoken(seconds)}", _time_left(work))


def _save(work: Work, stage: Any) -> None:
    """Record a stage whose outputs are there in DVC's cache, run-cache and dvc.lock, as DVC's `Stage.run` does."""
    uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
    stage.save(run_cache=not uncached)
    stage.commit()
    names = [step.name for step in work.pipeline.steps if step.path == stage.path]
    lockfile.write(stage, names, work.before)


def _fail(work: Work, stage: Any, reason: str, log: Path | None = None) -> None:
    """Say why a stage failed, and the end of its `log`."""
    work.outcome.failed.append((stage.addressing, reason))
    work.pipeline.say(f"{stage.addressing}: failed: {reason}; nothing new begins")
    if log and log.exists():
        for line in log.read_text(errors="replace").splitlines()[-LINES_OF_FAILURE:]:
            work.pipeline.say(f"  {line}")
        work.pipeline.say(f"  (all that it printed: {os.path.relpath(log)})")


def _log(work: Work, stage: Any) -> Path:
    return work.pipeline.folder / record.LOGS / f"{stage.addressing.replace('/', '_')}.log"


def _time_left(work: Work) -> float:
    """Seconds until all is finished, by what the cells took before; 0 when nothing is left or nothing is known."""
    seconds = work.pipeline.seconds()
    if not seconds:
        return 0.0
    now = time.monotonic()
    left = {stage: seconds[stage.addressing] for stage in (*work.waiting, *work.changed)}
    left |= {stage: max(0.0, seconds[stage.addressing] - now + cell.began) for stage, cell in work.running.items()}
    longest = max(_longest_paths(work.pipeline, left).values(), default=0.0)
    return max(longest, sum(left.values()) / work.pipeline.jobs)


def _longest_paths(pipeline: Pipeline, seconds: Mapping[Any, float]) -> dict[Any, float]:
    """For each stage the time from its begin to the end of all that needs it, if nothing had to wait."""
    longest: dict[Any, float] = {}
    for stage in reversed(pipeline.steps):  # what needs a stage stands behind it
        after = [longest[other] for other in pipeline.graph.predecessors(stage) if other in longest]
        longest[stage] = seconds.get(stage, 0.0) + max(after, default=0.0)
    return longest


def _by_urgency(pipeline: Pipeline) -> list[Any]:
    """The steps, those first on which the longest chain of work waits; in DVC's order where that is equal."""
    known = pipeline.seconds()
    seconds = {stage: known.get(stage.addressing, 1.0) for stage in pipeline.steps}
    longest = _longest_paths(pipeline, seconds)
    return sorted(pipeline.steps, key=lambda stage: -longest[stage])


def _order_file(pipeline: Pipeline) -> Path:
    return pipeline.folder / "entries_before"


def _entries_before(pipeline: Pipeline) -> set[str]:
    """Entries of dvc.lock when this work began, perhaps in a process that was ended before it was finished."""
    file = _order_file(pipeline)
    if not file.exists():
        record.write_text(file, "\n".join(lockfile.names(Path("dvc.lock"))))
    return set(file.read_text().split("\n")) & set(lockfile.names(Path("dvc.lock")))
