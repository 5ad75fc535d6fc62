"""What `repro` would run and why, in words."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from spectroscope.reproduce.record import spoken

REASONS_SHOWN = 6
MISSING = object()


def lines(graph: Any, steps: list[Any], cells: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each stage that would run, in order: why, and how long it took last time; then the sums.

    A stage without a reason of its own is named with those before it that have one: `repro` skips it where its inputs
    come out as they were. That is not known beforehand, nor whether DVC's cache has the result of a stage.
    """
    sure: dict[Any, list[str]] = {}  # reasons
    perhaps: dict[Any, list[Any]] = {}  # the stages before with reasons
    for stage in steps:
        before = [other for other in graph.successors(stage) if other in sure or other in perhaps]
        if found := reasons(stage, {out.fs_path for other in before for out in other.outs}):
            sure[stage] = found
        elif before:
            perhaps[stage] = list(dict.fromkeys(root for other in before for root in perhaps.get(other, [other])))
    seconds = {stage: cells[stage.addressing]["seconds"] for stage in steps if stage.addressing in cells}
    for stage in steps:
        took = f" ({spoken(seconds[stage])} last time)" if stage in seconds else ""
        if stage in sure:
            yield f"{stage.addressing}: {_some(sure[stage])}{took}"
        elif stage in perhaps:
            roots = _some([root.addressing for root in perhaps[stage]])
            yield f"{stage.addressing}: if the results of {roots} change{took}"
    if not sure:
        yield f"nothing to do: {_count(len(steps))} up to date"
        return
    yield f"{len(sure)} of {_count(len(steps))} to run or to fetch from the cache{_sum(sure, seconds)}"
    if perhaps:
        yield f"{len(perhaps)} more if those results change{_sum(perhaps, seconds)}"


def reasons(stage: Any, to_be_made: Collection[str]) -> list[str]:
    """Why a stage would run as things are now, without what the stages before it may change; [] if it would not.

    `to_be_made`: paths of outputs of stages that would run before it, which are no reason where they are missing.
    """
    if not any(entry.hash_info for entry in (*stage.deps, *stage.outs)):  # dvc.lock does not have it
        return ["never run"]
    found = ["its command changed"] if stage.changed_stage() else []
    for dep in () if stage.frozen else stage.deps:  # a frozen stage runs for none, but changed outputs are recorded
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
    if (stage.is_callback or stage.always_changed) and not stage.frozen:
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


def _sum(stages: Collection[Any], seconds: Mapping[Any, float]) -> str:
    """How long stages took last time, one after the other; "" if none was timed."""
    timed = [seconds[stage] for stage in stages if stage in seconds]
    missing = f" ({len(stages) - len(timed)} never timed here)" if len(timed) < len(stages) else ""
    return f", {spoken(sum(timed))} one after the other by last time's figures{missing}" if timed else ""


def _count(n: int) -> str:
    return f"{n} cells" if n != 1 else "1 cell"
