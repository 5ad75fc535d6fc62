"""dvc.lock in the bytes that DVC writes, but one entry at a time, and each time the whole file or nothing.

DVC parses and writes all of dvc.lock in place after every stage: 3 s for 64 cells, and a kill while it writes leaves
half a file. Here the new entry alone is serialised, by DVC, and the file is replaced at once.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from spectroscope.reproduce.record import write_text

HEAD = "schema: '2.0'\nstages:\n"
CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.M)


def refuse_conflicts(path: Path) -> None:
    """ValueError naming the line when the lock file holds the marks of a merge that git could not do."""
    text = path.read_text() if path.exists() else ""
    if found := CONFLICT.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(
            f"{path}: expected a lock file, got a merge conflict in line {line}: resolve it "
            "(`git checkout --ours dvc.lock` and reproduce)"
        )


def write(stage: Any, order: Sequence[str], before: Collection[str]) -> None:
    """Put the entry of a DVC stage into its dvc.lock.

    `order`: names of the stages as `dvc repro` would run them. `before`: those in the file when the work began, which
    keep their places; the others follow in `order`, whichever ended first.
    """
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    path = Path(stage.path).with_suffix(".lock")
    text = path.read_text() if path.exists() else ""
    entry = dumps_yaml({"stages": to_lockfile(stage)}).removeprefix("stages:\n")
    new = with_entry(text, stage.name, entry, order, before)
    if new is None:  # a form of file that is not known here
        stage.dump(update_pipeline=False)
        return
    if new != text:
        write_text(path, new)
        stage.repo.scm_context.track_file(str(path))


def names(path: Path) -> list[str]:
    """Names of the entries of a lock file, in order; none if there is no such file or its form is not known here."""
    return list(_entries(path.read_text() if path.exists() else "") or {})


def with_entry(text: str, name: str, entry: str, order: Sequence[str], before: Collection[str]) -> str | None:
    """The text of a lock file with the entry `name`, new or replaced; None when its form is not known here.

    `order` and `before` as in `write`.
    """
    entries = _entries(text)
    if entries is None or not entry.startswith(f"  {name}:\n"):
        return None
    if name in entries:
        entries[name] = entry
    else:
        later = set(order[order.index(name) + 1 :]) - set(before)
        behind = [other for other in entries if other in later]
        place = list(entries).index(behind[0]) if behind else len(entries)
        pairs = list(entries.items())
        entries = dict([*pairs[:place], (name, entry), *pairs[place:]])
    return HEAD + "".join(entries.values())


def _entries(text: str) -> dict[str, str] | None:
    """Text of each entry by name; None when the file is not a head and entries alone."""
    if not text:
        return {}
    body = text.removeprefix(HEAD)
    if body == text or re.search(r"^\S", body, re.M):
        return None
    first, *entries = re.split(r"^(?=  \S)", body, flags=re.M)
    by_name = {entry.partition(":\n")[0].strip(): entry for entry in entries}
    return None if first or len(by_name) < len(entries) else by_name
