"""The command of a stage on a worker of a Dask cluster, whose workers see the folder of the project at the same path.

A worker learns from a file in that folder, the lease, whether the driver still wants the result: the driver counts in
it, and removes it when it stops. A worker that does not see the lease works in another folder.
"""

import os
import platform
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
        self.number = uuid.uuid4().hex
        for old in folder.glob("lease-*"):  # of a driver that was killed
            old.unlink()
        # A new name: a network file system may remember for a while that a worker saw no file of an old one.
        self.lease = folder / f"lease-{self.number}"
        self.stopping = threading.Event()
        self._beat(0)
        try:
            self._refuse_other_folders(root)
        except BaseException:
            self.lease.unlink(missing_ok=True)
            self.client.close()
            raise
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

    def _refuse_other_folders(self, root: Path) -> None:
        try:
            workers = self.client.run(sees, str(self.lease), self.number)
        except (ImportError, AttributeError) as error:  # no such package there, or another version of it
            raise ValueError(
                f"--dask: expected workers that can import this version of spectroscope, got: {error}"
            ) from None
        if not workers:
            raise ValueError("--dask: expected at least one worker, got none")
        for worker, there in sorted(workers.items()):
            if not there:
                raise ValueError(
                    f"--dask: expected every worker to see the folder {root}, got another folder or none at {worker}"
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
        """How the task ended, None while it runs or waits; an error of the cluster has what the cluster said."""
        if not self.future.done():
            return None
        if self.future.status == "error":  # such as a worker that died, with the program that it ran
            error = self.future.exception()
            return Exit(1, 0.0, f"the cluster says {type(error).__name__}: {' '.join(str(error).split())}")
        if self.future.status != "finished":  # cancelled, or lost with the scheduler
            return Exit(1, 0.0, f"the cluster says that it is {self.future.status}")
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


def sees(lease: str, number: str) -> bool:
    """On a worker: whether it sees the lease of this driver."""
    try:
        return Path(lease).read_text().startswith(number)
    except OSError:
        return False


def run(task: Task, lease: str, number: str) -> tuple[int, float, str]:
    """On a worker: run a task while the lease of this driver lives. The fields of an `Exit`."""
    if not sees(lease, number):  # a worker that came later, or a driver that stopped
        return 1, 0.0, f"a worker on {platform.node()} does not see {lease}"
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
            return 143, job.peak_mb, ""
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return end.code, end.peak_mb, end.reason
