"""The files of a split, named by paths, globs or URLs: find them, download them, compute their digest."""

import hashlib
import itertools
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from filelock import FileLock
from fsspec.callbacks import Callback

from spectroscope.pipeline.progress import track

SECONDS_TO_WAIT = 60
MOST_FILES = 10_000  # that a range in a URL stands for
MIB = 1 << 20
DOWNLOADS = "spectroscope-downloads-"  # begins the names of temporary folders


def find_files(pattern: str, split: str) -> list[str]:
    """The absolute paths, or URLs, that `pattern` stands for.

    pattern: a file, a glob, a folder (its files `{split}*.parquet`), or a URL, in which a range {003..011} stands for
    one URL for each number. ValueError where there is no such file.
    """
    if "://" in pattern:
        return _expand_range(pattern)
    path = Path(pattern)
    paths = [path] if path.is_file() else _matching(path / f"{split}*.parquet" if path.is_dir() else path)
    if not paths:
        expected = f"files {split}*.parquet in this folder" if path.is_dir() else "Parquet files"
        raise ValueError(f"{split}: {pattern}: expected {expected}, {nothing_found(pattern)}")
    return [str(path.resolve()) for path in paths]


def _matching(path: Path) -> list[Path]:
    """The files that a glob stands for; the folders before its last part are taken by their name if they exist."""
    if path.parent.is_dir():  # its name may hold [ or ?
        return sorted(file for file in path.parent.glob(path.name) if file.is_file())
    relative = path.relative_to(path.anchor)  # glob takes no absolute pattern
    return sorted(file for file in Path(path.anchor).glob(str(relative)) if file.is_file())


def require_different(train: Sequence[Path], test: Sequence[Path]) -> None:
    """ValueError naming a file of `test` that is one of `train`: by its path, by a link, or a copy."""
    for file in test:
        for other in train:
            if file.samefile(other) or (
                file.stat().st_size == other.stat().st_size and sha256_of([file]) == sha256_of([other])
            ):
                raise ValueError(f"{file}: expected a file of one split, got it in train and test, there as {other}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder for `local_copies`; those that killed processes left, whose locks are free, are removed."""
    for lock in Path(gettempdir()).glob(f"{DOWNLOADS}*/lock"):
        with suppress(OSError, NotImplementedError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent)
    with TemporaryDirectory(prefix=DOWNLOADS) as folder:
        lock = FileLock(Path(folder) / "lock", timeout=0)
        with suppress(NotImplementedError, OSError):  # of a file system without locks, where nothing is removed
            lock.acquire()
        try:
            yield Path(folder)
        finally:
            lock.release()


def local_copies(names: Sequence[str], folder: Path) -> list[Path]:
    """Paths as they are, URLs as files downloaded to `folder`; ValueError naming the URL of a failed download."""
    return [_download(name, folder / str(number)) if "://" in name else Path(name) for number, name in enumerate(names)]


def sha256_of(paths: Iterable[Path]) -> str:
    """sha256 of the bytes of these files, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(MIB):
                total.update(block)
    return total.hexdigest()


def nothing_found(path: str) -> str:
    """End of an error message about a path that leads nowhere; for a relative one with the folder it starts from."""
    if Path(path).is_absolute():
        return "found nothing there"
    return (
        f"found nothing there from {Path.cwd()} (copies in which `dvc exp` works hold what git or DVC tracks: dvc add)"
    )


def _expand_range(url: str) -> list[str]:
    span = re.search(r"\{(\d+)\.\.(\d+)\}", url)
    if span is None:
        return [url]
    first, last = span.groups()
    numbers = range(int(first), int(last) + 1)
    if not 0 < len(numbers) <= MOST_FILES:
        raise ValueError(f"{url}: expected a range that rises, of at most {MOST_FILES} files, got {span.group()}")
    return [f"{url[: span.start()]}{number:0{len(first)}d}{url[span.end() :]}" for number in numbers]


def _download(url: str, folder: Path) -> Path:
    """A copy of the file at a URL in a new folder, under one name: that of the URL may be empty or too long."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url}: expected a path or a URL that begins with https:// or http://")
    from aiohttp import ClientError, ClientPayloadError, ClientTimeout  # here, since few data sets are behind a URL
    from fsspec import filesystem

    folder.mkdir(parents=True)
    path, name = folder / "file.parquet", url.split("?")[0].rsplit("/", 1)[1]
    client = {
        "timeout": ClientTimeout(total=None, sock_connect=SECONDS_TO_WAIT, sock_read=SECONDS_TO_WAIT),
        "trust_env": True,  # the proxies of the environment
    }
    web = filesystem("http", client_kwargs=client, skip_instance_cache=True)
    try:
        web.get_file(url, str(path), callback=_Progress(f"MiB of {name}"))
    except ClientPayloadError as error:  # fewer bytes than announced
        raise ValueError(f"{url}: expected a whole file, got {path.stat().st_size} bytes ({error})") from None
    except (OSError, ClientError, ValueError) as error:  # ValueError: of a URL or a header that cannot be read
        reason = "not found" if isinstance(error, FileNotFoundError) else error or type(error).__name__
        raise ValueError(f"{url}: expected a file to download, got none ({reason})") from None
    return path


class _Progress(Callback):
    """Reports a download by the MiB."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self._steps, self._reported = track(itertools.count(), task), 0

    def relative_update(self, inc: int = 1) -> None:
        self.value += inc
        for _ in range(self._reported, self.value // MIB):
            next(self._steps)
        self._reported = self.value // MIB
