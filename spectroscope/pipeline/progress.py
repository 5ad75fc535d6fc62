"""Progress of long work: a bar with an estimate on a terminal, a line now and then where there is none."""

import os
import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 20.0


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, reporting on stderr how many are done, how fast, and how long the rest will take.

    Of several processes at a stage the first alone reports.
    """
    if os.environ.get("RANK", "0") != "0":
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, dynamic_ncols=True)
        return
    bar = tqdm(total=total, desc=what, file=_Silent(), mininterval=0, miniters=1)
    shown = bar.start_t
    for done, item in enumerate(items, start=1):
        yield item
        bar.update()
        now = bar._time()
        if now - shown >= SECONDS_BETWEEN_LINES or (done == total and shown != bar.start_t):
            print(str(bar), file=sys.stderr, flush=True)
            shown = now
    bar.close()


class _Silent:
    """A stream for tqdm to draw on when only its arithmetic is wanted."""

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...
