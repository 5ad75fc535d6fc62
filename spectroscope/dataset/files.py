"""The files of a split, named by paths, globs or URLs: find them, download them, compute their digest."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fsspec.callbacks import Callback

from spectroscope.pipeline.progress import track

SECONDS_TO_WAIT = 60
MIB = 1 << 20


def find_files(pattern: str, split: str) -> list[str]:
    """The absolute paths, or URLs, that `pattern` stands for.

    pattern: a file, a glob, a folder (its files `{split}*.parquet`), or a URL, in which a range {003..011} stands for
    one URL for each number. ValueError where there is no such file.
    """
    if "://" in pattern:
        return _expand_range(pattern)
    path = Path(pattern)
    if path.is_dir():
        paths = sorted(path.glob(f"{split}*.parquet"))
    else:
        relative = path.relative_to(path.anchor)  # glob takes no absolute pattern
        paths = [path] if path.is_file() else sorted(Path(path.anchor).glob(str(relative)))
    if not paths:
        expected = f"files {split}*.parquet in this folder" if path.is_dir() else "Parquet files"
        raise ValueError(f"{split}: {pattern}: expected {expected}, {nothing_found(pattern)}")
    return [str(path.resolve()) for path in paths]


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
    if not numbers:
        raise ValueError(f"{url}: expected a range that rises, got {span.group()}")
    return [f"{url[: span.start()]}{number:0{len(first)}d}{url[span.end() :]}" for number in numbers]


def _download(url: str, folder: Path) -> Path:
    """A copy of the file at a URL, under its own name in a new folder."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url}: expected a path or a URL that begins with https:// or http://")
    from aiohttp import ClientError, ClientPayloadError, ClientTimeout  # here, since few data sets are behind a URL
    from fsspec import filesystem

    folder.mkdir(parents=True)
    path = folder / url.split("?")[0].rsplit("/", 1)[1]
    client = {
        "timeout": ClientTimeout(total=None, sock_connect=SECONDS_TO_WAIT, sock_read=SECONDS_TO_WAIT),
        "trust_env": True,  # the proxies of the environment
    }
    web = filesystem("http", client_kwargs=client, skip_instance_cache=True)
    try:
        web.get_file(url, str(path), callback=_Progress(f"MiB of {path.name}"))
    except ClientPayloadError as error:  # fewer bytes than announced
        raise ValueError(f"{url}: expected a whole file, got {path.stat().st_size} bytes ({error})") from None
    except (OSError, ClientError) as error:
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
