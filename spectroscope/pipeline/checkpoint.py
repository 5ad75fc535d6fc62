"""Atomic, named checkpoint files of one stage run, kept outside DVC until the stage's output is recorded.

A store is the folder `.checkpoints/<stage>/<fingerprint>/` below DVC's root. The fingerprint covers everything that
decides the result: settings, digests of the inputs, and the package's source code. A run that differs in any of them
gets another folder. One process at a time may write to a store. A stage that ends well marks its store as finished and
leaves it, since dvc can still be killed before it records the output. Once dvc.lock is younger than the mark, the next
stage removes the store. Without dvc the store is removed when the stage ends.
"""

import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import AcquireReturnProxy, BaseFileLock, FileLock, SoftFileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spectroscope.pipeline import io, processes
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.weights import DIGEST, digest_of

ROOT = ".checkpoints"
FINISHED, LOCK, SOFT_LOCK = "finished", "lock", "lock.held"
SECONDS = "SPECTROSCOPE_CHECKPOINT_SECONDS"  # environment variable: seconds between two saves of a long computation
DEFAULT_SECONDS = 300
Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]


class LockedError(OSError):
    """Another process holds the lock of a store."""


@dataclass(frozen=True)
class Store:
    """Named checkpoint files, each with tensors and facts (anything JSON holds), each written whole or not at all.

    `provenance` is everything that decides the result. It stands in every file and is compared when the file is read.
    """

    folder: Path
    provenance: dict[str, Any]

    def save(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write or replace the checkpoint `name`. OSError when the disk is full; the earlier file then stays."""
        copies = {key: _contiguous_copy(value) for key, value in tensors.items()}
        metadata = {"provenance": json.dumps(self.provenance, sort_keys=True), "facts": json.dumps(facts)}
        metadata[DIGEST] = _digest_of(copies, metadata)
        with io.replacing(self.path(name)) as temporary, temporary.open("wb") as file:
            file.write(save(copies, metadata))
            file.flush()
            os.fsync(file.fileno())  # without it a power cut can leave the new name with empty content

    def load(self, name: str) -> Checkpoint | None:
        """Tensors and facts of the checkpoint `name`, None if there is no such file.

        ValueError naming the file when it is damaged or has another provenance.
        """
        path = self.path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as content:
                metadata = content.metadata() or {}
                tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (no mapping)
            if metadata.pop(DIGEST) != _digest_of(tensors, metadata):
                raise ValueError("its content is not what was written")
            provenance, facts = json.loads(metadata["provenance"]), json.loads(metadata["facts"])
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"{path}: expected a checkpoint, got a damaged or other file ({error}): remove it"
            ) from None
        if provenance != self.provenance:
            keys = provenance.keys() | self.provenance.keys()
            differing = sorted(key for key in keys if provenance.get(key) != self.provenance.get(key))
            raise ValueError(f"{path}: expected a checkpoint of this run, got one of another {', '.join(differing)}")
        return tensors, facts

    def load_or_compute(
        self, names: Sequence[str], compute: Callable[[int], dict[str, Tensor]], description: str
    ) -> list[dict[str, Tensor]]:
        """Tensors of the checkpoints `names`, in order; `compute(place)` makes those without a file.

        Several processes share the work, and each returns every checkpoint. `description` is shown with the progress.
        """
        for place in track(processes.my_items(range(len(names))), description):
            if not self.path(names[place]).exists():
                self.save(names[place], compute(place), {})
        processes.barrier()
        checkpoints = [self.load(name) for name in names]
        return [checkpoint[0] for checkpoint in checkpoints if checkpoint]

    def checkpoint_file(self, name: str) -> "CheckpointFile":
        """The checkpoint `name`, for a computation that overwrites it as it goes on."""
        return CheckpointFile(self, name, time.monotonic())

    def path(self, name: str) -> Path:
        """Path of the checkpoint `name`."""
        return self.folder / f"{name}.safetensors"


@dataclass
class CheckpointFile:
    """One checkpoint, overwritten by a long computation as it goes on. Of several processes the first writes it."""

    store: Store
    name: str
    saved_at: float  # time.monotonic()

    def load(self) -> Checkpoint | None:
        """As `Store.load`."""
        return self.store.load(self.name)

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """As `Store.save`, in the first process; the others do nothing."""
        if processes.rank() == 0:
            self.store.save(self.name, tensors, facts)
            self.saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether this process should save now, because the last save is long enough ago."""
        return processes.rank() == 0 and time.monotonic() - self.saved_at >= _seconds_between_saves()


def _seconds_between_saves() -> float:
    text = os.environ.get(SECONDS) or str(DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not seconds >= 0:
        raise ValueError(f"{SECONDS}: expected a number of seconds >= 0, got {text!r}")
    return seconds


@contextmanager
def open_store(stage: str, **provenance: Any) -> Iterator[Store]:
    """The store of a stage run, locked for this process, and marked as finished when the block ends well.

    `stage` is the folder's name where dvc did not start the process. `provenance`: everything that decides the result
    (anything JSON holds), with a `digest` of each input; the source code is added here. Of several processes the first
    holds the lock for all. OSError when another process holds it.
    """
    # Through JSON and back, since tuples come back as lists from a file.
    provenance = json.loads(json.dumps({**provenance, "code": _code_digest()}, sort_keys=True))
    fingerprint = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:16]
    name = os.environ.get("DVC_STAGE", stage).rsplit(":", 1)[-1]
    root = Path(os.environ.get("DVC_ROOT", "."))
    folder = root / ROOT / name / fingerprint
    if processes.rank() > 0:
        processes.barrier()  # until the first process holds the lock
        yield Store(folder, provenance)
        processes.barrier()
        return
    _remove_recorded(root)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder):
        for unfinished in folder.glob(".*.part"):  # temporary files of a process that was killed while it wrote
            unfinished.unlink()
        processes.barrier()
        yield Store(folder, provenance)
        processes.barrier()  # the other processes may still read
        if "DVC_STAGE" in os.environ:
            (folder / FINISHED).touch()
        else:
            shutil.rmtree(folder)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            total.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as content:
                total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


def _digest_of(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 of the tensors and of the other metadata of a checkpoint file."""
    texts = json.dumps(metadata, sort_keys=True)
    return hashlib.sha256(f"{digest_of(tensors)} {texts}".encode()).hexdigest()


def _contiguous_copy(value: Tensor) -> Tensor:
    """A contiguous copy on the CPU: safetensors accepts neither views nor two tensors that share memory."""
    return torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())


def _code_digest() -> str:
    """SHA-256 of the source files of all loaded modules of this project."""
    files = set()
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec and spec.origin and spec.name.split(".")[0] in ("spectroscope", "stages"):
            files.add((spec.name, spec.origin))
    total = hashlib.sha256()
    for name, file in sorted(files):
        total.update(name.encode() + digest(Path(file)).encode())
    return total.hexdigest()


def _lock(folder: Path) -> AcquireReturnProxy:
    """Lock the folder for this process until a `with` block ends; OSError if another process holds the lock.

    The lock is flock's, which the system releases when its process ends, even if killed. On a file system without flock
    (some network mounts) a file is the lock. A killed process leaves that file behind, so the error says to remove it.
    """
    lock: BaseFileLock = FileLock(folder / LOCK, timeout=0)
    try:
        try:
            with warnings.catch_warnings():  # filelock warns when it takes the file as the lock, too
                warnings.simplefilter("ignore", UserWarning)
                return lock.acquire()
        except Timeout:
            raise
        except (NotImplementedError, OSError):
            lock = SoftFileLock(folder / SOFT_LOCK, timeout=0)
            return lock.acquire()
    except Timeout:
        advice = f"; if none runs, remove {lock.lock_file}" if isinstance(lock, SoftFileLock) else ""
        raise LockedError(
            f"{folder}: expected to be the only process of this run, got another one: end it or wait{advice}"
        ) from None


def _remove_recorded(root: Path) -> None:
    """Remove every finished store whose output dvc has recorded: dvc.lock is younger than its mark."""
    record = root / "dvc.lock"
    recorded = record.stat().st_mtime_ns if record.exists() else 0
    for mark in (root / ROOT).glob(f"*/*/{FINISHED}"):
        if mark.stat().st_mtime_ns < recorded:
            with suppress(LockedError), _lock(mark.parent):
                shutil.rmtree(mark.parent)
