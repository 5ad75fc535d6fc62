"""The command of a stage on a worker of a Dask cluster, whose workers see the folder of the project at the same path.

A worker learns from a file in that folder whether the driver still wants the result: the driver counts in it, and
removes it when it stops.
"""

import hashlib
import os
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from spectroscope.reproduce.commands import SECONDS_TO_END, Exit, Local, Task
from spectroscope.reproduce.record import write_text

SECONDS_BETWEEN_BEATS = 5
SECONDS_WITHOUT_BEAT = 60  # then the driver counts as dead
SECONDS_BETWEEN_LOOKS = 0.2
COMPARED = ("params.yaml", "dvc.yaml")
PASSED_ON = ("SPECTROSCOPE_", "OMP_NUM_THREADS", "DVC_ROOT", "DVC_STAGE")  # begin of variables that a worker is given


class Cluster:
    """A connection to the scheduler at `address`, as long as the driver runs."""

    def __init__(self, address: str, root: Path, folder: Path) -> None:
        """ValueError when `distributed` is missing, nobody answers, no worker is there, or one sees other files."""
        try:
            import distributed
        except ImportError:
            raise ValueError(
                "--dask: expected distributed, got no such module: pip install 'spectroscope[dask]'"
            ) from None
        try:
            self.client = distributed.Client(address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"--dask: expected the address of a scheduler, got {address!r} ({error})") from None
        try:
            self._compare_files(root)
        except BaseException:
            self.client.close()
            raise
        self.lease, self.number = folder / "lease", uuid.uuid4().hex
        self.stopping = threading.Event()
        self._beat(0)
        self.thread = threading.Thread(target=self._beats, daemon=True)
        self.thread.start()

    def start(self, task: Task) -> "OnWorker":
        """Hand a task to the cluster."""
        given = {name: text for name, text in task.environment.items() if name.startswith(PASSED_ON)}
        task = Task(task.commands, task.folder, given, task.log)
        return OnWorker(self, self.client.submit(run, task, str(self.lease), self.number, pure=False, retries=0))

    def stop(self) -> None:
        """Ask every task that still runs to end."""
        self.stopping.set()
        self.thread.join()
        self.lease.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop, and leave the cluster."""
        self.stop()
        self.client.close()

    def _compare_files(self, root: Path) -> None:
        here = digests(str(root))
        try:
            workers = self.client.run(digests, str(root))
        except ImportError as error:
            raise ValueError(f"--dask: expected workers that can import spectroscope, got: {error}") from None
        if not workers:
            raise ValueError("--dask: expected at least one worker, got none")
        for worker, there in sorted(workers.items()):
            for name in here:
                if here[name] != there[name]:
                    raise ValueError(
                        f"--dask: expected every worker to see the folder {root}, but at {worker} {name} is "
                        f"{'another file' if there[name] else 'missing'}"
                    )

    def _beat(self, count: int) -> None:
        write_text(self.lease, f"{self.number} {count}")

    def _beats(self) -> None:
        count = 0
        while not self.stopping.wait(SECONDS_BETWEEN_BEATS):
            count += 1
            with suppress(OSError):  # a file system that does not answer now may answer at the next beat
                self._beat(count)


class OnWorker:
    """A task on the cluster."""

    def __init__(self, cluster: Cluster, future: Any) -> None:
        self.cluster, self.future = cluster, future

    def poll(self) -> Exit | None:
        """How the task ended, None while it runs or waits; an error of the cluster counts as exit code 1."""
        if not self.future.done():
            return None
        if self.future.status != "finished":
            return Exit(1, 0.0)
        return Exit(*self.future.result())

    def ask(self) -> None:
        """Ask every task of this driver to end."""
        self.cluster.stop()

    def end(self) -> None:
        """End the task: a worker that still answers ends what it runs, one that does not is left alone."""
        self.cluster.stop()
        until = time.monotonic() + SECONDS_TO_END + 5
        while self.poll() is None and time.monotonic() < until:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        self.future.cancel()


def digests(root: str) -> dict[str, str]:
    """SHA-256 of the files COMPARED in a folder, "" for one that is not there."""
    files = {name: Path(root) / name for name in COMPARED}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "" for name, file in files.items()
    }


def run(task: Task, lease: str, number: str) -> tuple[int, float]:
    """On a worker: run a task while the lease of this driver lives. Exit code and largest resident memory in MB."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    job = Local(Task(task.commands, task.folder, {**os.environ, "PATH": path, **task.environment}, task.log))
    seen, since = "", time.monotonic()
    while (end := job.poll()) is None:
        try:
            text = Path(lease).read_text()
        except FileNotFoundError:
            text = ""
        except OSError:
            text = seen or number  # no beat was seen: it may be at the next look
        if text != seen:
            seen, since = text, time.monotonic()
        if not text.startswith(number) or time.monotonic() - since > SECONDS_WITHOUT_BEAT:
            job.end()
            return 143, job.peak_mb
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return end.code, end.peak_mb
