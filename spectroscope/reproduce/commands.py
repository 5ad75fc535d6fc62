"""The command of a stage as a process of this machine: started as DVC starts it, watched, and ended with its children.

Processes are started and waited for in one thread: DVC's state is not made for several.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

SECONDS_TO_END = 10  # from the request to end to the kill


@dataclass(frozen=True)
class Task:
    """What is to be run: command lines one after the other, each as a list of words or a text for the system's shell.

    `environment` is complete. What the commands print goes to the end of `log`.
    """

    commands: tuple[list[str] | str, ...]
    folder: str
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class Exit:
    """How a task ended: exit code, negative for a signal; largest resident memory of one of its processes in MB.

    `reason`: of an end that is not the task's own, as an error of a cluster; else empty.
    """

    code: int
    peak_mb: float
    reason: str = ""


def task(stage: Any, log: Path, extra: Mapping[str, str]) -> Task:
    """The task that DVC would run for a stage, with more environment variables."""
    from dvc.stage.run import _enforce_cmd_list, _make_cmd, get_executable, prepare_kwargs

    settings = prepare_kwargs(stage, run_env=dict(extra))
    lines = tuple(_make_cmd(get_executable(), line) for line in _enforce_cmd_list(stage.cmd))
    return Task(lines, settings["cwd"], settings["env"], log)


@dataclass
class Local:
    """A task that runs on this machine, in a session of its own: a Ctrl-C on the terminal reaches the driver alone."""

    task: Task
    remaining: list[list[str] | str] = field(init=False)
    process: subprocess.Popen | None = None
    peak_mb: float = 0.0

    def __post_init__(self) -> None:
        self.remaining = list(self.task.commands)
        self.task.log.parent.mkdir(parents=True, exist_ok=True)
        self.task.log.write_text("")
        self._next()

    def poll(self) -> Exit | None:
        """How the task ended, None while it runs."""
        assert self.process is not None
        if self.process.returncode is not None:
            return Exit(self.process.returncode, self.peak_mb)
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if not pid:
            return None
        # On Linux not below the driver's own memory, of which the process was a copy before its command was loaded.
        self.peak_mb = max(self.peak_mb, usage.ru_maxrss / 1e3)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode == 0 and self.remaining:
            self._next()
            return None
        return Exit(self.process.returncode, self.peak_mb)

    def ask(self) -> None:
        """Ask the processes of the task to end."""
        assert self.process is not None
        self.remaining = []
        _signal_group(self.process.pid, signal.SIGTERM)

    def end(self) -> None:
        """End the processes of the task: by request, and by force after SECONDS_TO_END."""
        self.ask()
        assert self.process is not None
        until = time.monotonic() + SECONDS_TO_END
        while self.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        _signal_group(self.process.pid, signal.SIGKILL)
        while self.poll() is None:
            time.sleep(0.02)

    def _next(self) -> None:
        with self.task.log.open("ab") as log:
            self.process = _started(self.remaining.pop(0), self.task, log)


def _started(command: list[str] | str, task: Task, log: IO[bytes]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=task.folder,
        env=dict(task.environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(group, number)
