"""Progress of long work on stderr: a bar on a terminal; in a log, a line every 20 seconds."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 20.0
_quiet = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No reports of `track` within the block: the work is a part of work that reports itself."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, reporting how many are done, how fast, and the time left. Of several processes the first reports.

    Without a terminal, work shorter than SECONDS_BETWEEN_LINES is silent.
    """
    terminal = sys.stderr.isatty()
    seconds = 0.1 if terminal else SECONDS_BETWEEN_LINES
    bar = tqdm(
        items,
        desc=description,
        total=total,
        disable=_quiet.get() or os.environ.get("RANK", "0") != "0",
        dynamic_ncols=terminal,
        file=sys.stderr if terminal else _Lines(),
        mininterval=seconds,
        miniters=1,  # look at the clock after every item: items take seconds
        delay=0 if terminal else seconds,
    )
    return iter(bar)


class _Lines:
    """Each state of a bar as a line of stderr: tqdm itself overwrites one line by carriage returns, on any stream."""

    def write(self, text: str) -> None:
        if line := text.strip():
            print(line, file=sys.stderr)

    def flush(self) -> None:
        sys.stderr.flush()
