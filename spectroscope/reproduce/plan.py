"""What `repro` would run and why, in words."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from spectroscope.reproduce import lockfile
from spectroscope.reproduce.record import spoken

REASONS_SHOWN = 6
MISSING = object()


def lines(graph: Any, steps: list[Any], cells: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each stage that would run, in order: why, and how long it took last time; then the sum.

    A stage whose inputs come out as they were is skipped by `repro`, and one whose result is in DVC's cache is not
    computed: neither is known beforehand.
    """
    known = lockfile.names(Path("dvc.lock"))
    run: dict[Any, str] = {}
    for stage in steps:
        upstream = [other for other in graph.successors(stage) if other in run]
        to_be_made = {out.fs_path for other in upstream for out in other.outs}
        recorded = not hasattr(stage, "name") or stage.name in known
        found = [] if stage.frozen else reasons(stage, recorded, to_be_made)
        if not found and upstream:
            found = [f"if the results of {_some([other.addressing for other in upstream])} change"]
        if found:
            run[stage] = _some(found)
    seconds = {stage: cells[stage.addressing]["seconds"] for stage in run if stage.addressing in cells}
    for stage, why in run.items():
        took = f" ({spoken(seconds[stage])} last time)" if stage in seconds else ""
        yield f"{stage.addressing}: {why}{took}"
    if not run:
        yield f"nothing to do: all of {_count(len(steps))} are up to date"
        return
    total = f"{len(run)} of {_count(len(steps))} to look at"
    if seconds:
        missing = len(run) - len(seconds)
        total += f", {spoken(sum(seconds.values()))} one after the other by last time's figures"
        total += f" ({missing} never timed here)" if missing else ""
    yield total


def reasons(stage: Any, recorded: bool, to_be_made: Collection[str]) -> list[str]:
    """Why a stage would run as things are now, without what the stages before it may change; [] if it would not.

    `recorded`: whether dvc.lock has it. `to_be_made`: paths of outputs of stages that would run before it, which are no
    reason where they are missing.
    """
    if not recorded:
        return ["never run"]
    found = ["its command changed"] if stage.changed_stage() else []
    for dep in stage.deps:
        if not (status := dep.status()):
            continue
        if hasattr(dep, "read_params"):
            old, new = dep.hash_info.value or {}, dep.read_params()
            keys = status[str(dep)]
            for key in keys if isinstance(keys, dict) else ():
                found += differences(key, old.get(key, MISSING), new.get(key, MISSING))
            found += [f"{dep} is missing"] if keys == "deleted" else []
        elif status[str(dep)] != "deleted" or not _among(dep.fs_path, to_be_made):
            found.append(_state(str(dep), status[str(dep)]))
    for out in stage.outs:
        if status := out.status():
            found.append(f"output {_state(str(out), status[str(out)])}")
    if stage.is_callback or stage.always_changed:
        found.append("it runs every time")
    return found


def differences(key: str, old: Any, new: Any) -> list[str]:
    """What differs between two values of a setting, by the key of each part that does."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(part for part in new if part not in old)]
        parts = [differences(f"{key}.{part}", old.get(part, MISSING), new.get(part, MISSING)) for part in keys]
        return [text for part in parts for text in part]
    if old is MISSING:
        return [f"{key} is new"]
    if new is MISSING:
        return [f"{key} was removed"]
    return [f"{key} changed from {_short(old)} to {_short(new)}"] if old != new else []


def _among(path: str, others: Collection[str]) -> bool:
    """Whether a path is one of the others, within one, or a folder that holds one."""
    return any(Path(path).is_relative_to(other) or Path(other).is_relative_to(path) for other in others)


def _state(path: str, status: str) -> str:
    words = {"deleted": "is missing", "modified": "changed", "new": "is new", "not in cache": "is not in the cache"}
    return f"{path} {words.get(status, f'is {status}')}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _some(texts: list[str]) -> str:
    more = len(texts) - REASONS_SHOWN
    return ", ".join(texts[:REASONS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(n: int) -> str:
    return f"{n} cells" if n != 1 else "1 cell"
