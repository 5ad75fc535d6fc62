"""Work that survives a kill: what was computed so far, kept outside DVC until the stage has ended.

A store is the folder `.checkpoints/<stage>/<fingerprint>/` below DVC's root. The fingerprint is taken of all that
decides the result: the facts the stage gives and the source of the package, so that other settings, images or code
never meet in one folder. One process at a time writes there; its lock ends with it, however it ends. A stage that
ended well marks its store as finished: dvc can still be killed before it has recorded the output. Once dvc.lock is
younger than the mark, the next stage removes the store. Without dvc it is removed at the end.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spectroscope.pipeline import io, processes
from spectroscope.pipeline.progress import track

ROOT = ".checkpoints"
FINISHED, LOCK = "finished", "lock"
SECONDS = "SPECTROSCOPE_CHECKPOINT_SECONDS"  # between two saves of work that goes on; else:
EVERY = 300
Saved = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Store:
    """Named pieces of one work: tensors and facts (anything JSON holds), each a file that is whole or not there."""

    folder: Path
    work: dict[str, Any]

    def save(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Write a piece in the place of the one of this name, which stays as it is when the disk is full (OSError)."""
        plain = {key: _plain(value) for key, value in tensors.items()}
        about = {"work": json.dumps(self.work, sort_keys=True), "facts": json.dumps(facts)}
        with io.replacing(self.file(name)) as temporary, temporary.open("wb") as file:
            file.write(save(plain, about))
            file.flush()
            os.fsync(file.fileno())  # else a power cut leaves the new name with no content

    def load(self, name: str) -> Saved | None:
        """The tensors and facts of a piece, None where there is none.

        ValueError naming the file when it is damaged or was made by other work.
        """
        file = self.file(name)
        if not file.exists():
            return None
        try:
            with safe_open(file, "pt") as content:
                about = content.metadata()
                tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (no mapping)
            work, facts = json.loads(about["work"]), json.loads(about["facts"])
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"{file}: expected a checkpoint, got a damaged or other file ({error}): remove it"
            ) from None
        if work != self.work:
            differing = sorted(key for key in work.keys() | self.work.keys() if work.get(key) != self.work.get(key))
            raise ValueError(f"{file}: expected a checkpoint of this work, got one of another {', '.join(differing)}")
        return tensors, facts

    def each(
        self, names: Sequence[str], compute: Callable[[int], dict[str, Tensor]], what: str
    ) -> list[dict[str, Tensor]]:
        """The tensors of these pieces, in order; `compute` makes those that are not there yet, by their place.

        Several processes share the pieces out; each of them then has all. `what` is said of the progress.
        """
        for place in track(processes.my_items(range(len(names))), what):
            if not self.file(names[place]).exists():
                self.save(names[place], compute(place), {})
        processes.wait()
        found = [self.load(name) for name in names]
        return [tensors for tensors, _ in found]

    def slot(self, name: str) -> "Slot":
        """The piece of this name, to be saved again and again."""
        return Slot(self, name, time.monotonic())

    def file(self, name: str) -> Path:
        """Where a piece lies."""
        return self.folder / f"{name}.safetensors"


@dataclass
class Slot:
    """A piece that long work overwrites as it goes on. Of several processes the first alone writes."""

    store: Store
    name: str
    saved: float

    def load(self) -> Saved | None:
        """As in the store."""
        return self.store.load(self.name)

    def save(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """As in the store, in the first process."""
        if processes.rank() == 0:
            self.store.save(self.name, tensors, facts)
            self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether this process should save: the last time was a while ago."""
        return processes.rank() == 0 and time.monotonic() - self.saved >= float(os.environ.get(SECONDS, EVERY))


@contextmanager
def opened(stage: str, **facts: Any) -> Iterator[Store]:
    """The store of a stage's work, locked for this process and marked as finished when the block ends well.

    `stage` names it where dvc did not start the process. `facts`: all that decides the result, as JSON holds it; add a
    `digest` of each input. Of several processes at a stage the first holds the lock for all. OSError when others work
    on the same.
    """
    work = json.loads(json.dumps({**facts, "code": _code()}, sort_keys=True))  # as it is read back
    fingerprint = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]
    name = os.environ.get("DVC_STAGE", stage).rsplit(":", 1)[-1]
    root = Path(os.environ.get("DVC_ROOT", "."))
    folder = root / ROOT / name / fingerprint
    if processes.rank() > 0:
        processes.wait()  # for the lock
        yield Store(folder, work)
        processes.wait()
        return
    _sweep(root)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder) as alone:
        if not alone:
            raise OSError(f"{folder}: expected to be the only process at this work, got another one: end it or wait")
        for left in folder.glob(".*.part"):
            left.unlink()
        processes.wait()
        yield Store(folder, work)
        processes.wait()  # for those who still read
        if "DVC_STAGE" in os.environ:
            (folder / FINISHED).touch()
        else:
            shutil.rmtree(folder)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            total.update(file.relative_to(path).as_posix().encode())
            with file.open("rb") as content:
                total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


def _plain(value: Tensor) -> Tensor:
    """A copy of its own on the CPU, rows first: safetensors takes no views and no two tensors that share memory."""
    return torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())


def _code() -> str:
    """Digest of the source of every module of this project that is loaded."""
    files = set()
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec and spec.origin and spec.name.split(".")[0] in ("spectroscope", "stages"):
            files.add((spec.name, spec.origin))
    total = hashlib.sha256()
    for name, file in sorted(files):
        total.update(name.encode() + digest(Path(file)).encode())
    return total.hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder for itself until the block ends; the lock of a killed process is gone."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _sweep(root: Path) -> None:
    """Remove the finished stores whose outputs dvc has recorded."""
    record = root / "dvc.lock"
    recorded = record.stat().st_mtime_ns if record.exists() else 0
    for mark in (root / ROOT).glob(f"*/*/{FINISHED}"):
        if mark.stat().st_mtime_ns < recorded:
            with _locked(mark.parent) as alone:
                if alone:
                    shutil.rmtree(mark.parent)
