"""Settings that differ between revisions, by key."""

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = object()  # a value that a revision lacks: None is a setting


def changes(settings: Sequence[Mapping[str, Any]], path: str = "") -> dict[str, list[Any]]:
    """Values of every key whose value differs, by its dotted path, in the order of the files: one for each revision.

    A mapping that some revision lacks (an attack, a run) is one key. Comments, the order of keys and how a number is
    written are no differences.
    """
    found: dict[str, list[Any]] = {}
    for key in dict.fromkeys(key for each in settings for key in each):
        values = [each.get(key, ABSENT) for each in settings]
        name = f"{path}{key}"
        if all(isinstance(value, Mapping) for value in values):
            found |= changes(values, f"{name}.")
        elif any(not same(value, values[0]) for value in values[1:]):
            found[name] = values
    return found


def same(a: Any, b: Any) -> bool:
    """Whether two values of a parameter file are the same setting: 1 is 1.0 but not `true`."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)
