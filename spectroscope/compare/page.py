"""A comparison as a page, as Markdown and as JSON: settings first, then verdicts, numbers, accuracies and curves."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import altair as alt

from spectroscope.compare import charts, numbers, settings, tables
from spectroscope.compare.numbers import Numbers
from spectroscope.compare.revisions import Revision, changed_code
from spectroscope.report import page, style

TITLE = "Results side by side"
SETTINGS = "Which settings differ?"
CLAIMS = "Which claims have another verdict?"
HEADLINE = "What do the headline numbers say?"
ACCURACY = "How accurate is each run, clean and under attack?"
RELIANCE = "Which frequencies does each run rely on?"
LEFT_OUT = "Numbers that are alike in all revisions are left out: {} of {}."
CURVES = "Occluded Frequency: probability of the true class lost without one shell, or one band of shells, by run."


def html(revisions: Sequence[Revision], root: Path) -> str:
    """The page; it opens from a file without a network."""
    colours = style.assign_colours([revision.name for revision in revisions])
    found = numbers.numbers(revisions)
    runs = list(dict.fromkeys(key.run for key in found))

    def side_by_side(table: tables.Table) -> page.Blocks:
        return (page.table(*table, colours, side_by_side=True),)

    changed, claims = tables.settings_table(revisions), tables.claims_table(revisions)
    notes = tables.notes(revisions, _changed_code(revisions, root))
    warnings = (page.prose(*notes, kind="warning"),) if notes else ()
    chapters = {
        "settings": (SETTINGS, (side_by_side(changed) if len(changed[0]) else (page.prose(tables.NO_CHANGE),))),
        "claims": (CLAIMS, side_by_side(claims) if len(claims[0]) else (page.prose(tables.NO_CLAIMS),)),
        "headline": (HEADLINE, side_by_side(tables.numbers_table(numbers.headline(found, revisions), revisions))),
        "accuracy": (
            ACCURACY,
            (_beside(charts.accuracies, runs, revisions), *_differing(found, "accuracy", revisions, side_by_side)),
        ),
        "reliance": (
            RELIANCE,
            (
                page.prose(CURVES),
                _beside(charts.curves, runs, revisions),
                *_differing(found, "reliance", revisions, side_by_side),
            ),
        ),
    }
    chapters["settings"] = (SETTINGS, warnings + chapters["settings"][1])
    parts = [page.Chapter(name, question, blocks) for name, (question, blocks) in chapters.items()]
    return page.render(TITLE, [_lead(revisions)], parts)


def markdown(revisions: Sequence[Revision], root: Path) -> str:
    """Settings, verdicts and headline numbers, and folded away every other number that differs: for a pull request."""
    found = numbers.numbers(revisions)
    changed, claims = tables.settings_table(revisions), tables.claims_table(revisions)
    rest = _without(numbers.differing(found, revisions), numbers.headline(found, revisions))
    sections = [
        f"## {TITLE}\n\n{_lead(revisions)}\n",
        *(f"> {note}\n" for note in tables.notes(revisions, _changed_code(revisions, root))),
        f"### {SETTINGS}\n\n{page.markdown(*changed) if len(changed[0]) else tables.NO_CHANGE}",
        f"### {CLAIMS}\n\n{page.markdown(*claims) if len(claims[0]) else tables.NO_CLAIMS}",
        f"### {HEADLINE}\n\n"
        + page.markdown(*tables.numbers_table(numbers.headline(found, revisions), revisions)).rstrip("\n"),
    ]
    if rest:
        folded = page.markdown(*tables.numbers_table(rest, revisions))
        sections.append(f"<details><summary>Every other number that differs</summary>\n\n{folded}\n</details>")
    return "\n\n".join(section.rstrip("\n") for section in sections) + "\n"


def as_json(revisions: Sequence[Revision], root: Path) -> str:
    """Everything, numbers that are alike included; null where there is no number."""
    first, *others = revisions
    names = [revision.name for revision in revisions]
    code = _changed_code(revisions, root)
    changed = settings.changes([revision.settings for revision in revisions])
    content = {
        "revisions": [
            {"name": each.name, "commit": each.commit, "stale": each.stale, "code_changes": code.get(each.name)}
            for each in revisions
        ],
        "settings": {
            key: {name: value for name, value in zip(names, values, strict=True) if value is not settings.ABSENT}
            for key, values in changed.items()
        },
        "claims": {each.name: None if each.claims is None else each.claims.to_dict("records") for each in revisions},
        "numbers": [
            {
                **key._asdict(),
                "values": rows,
                "differences": {
                    other.name: numbers.difference(key, rows, first, other)._asdict() | {"less": first.name}
                    for other in others
                },
            }
            for key, rows in numbers.numbers(revisions).items()
        ],
    }
    return json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _lead(revisions: Sequence[Revision]) -> str:
    named = [f"{each.name} (commit {each.commit[:7]})" if each.commit else each.name for each in revisions]
    order = f"Differences are from {revisions[0].name}."
    return f"Committed results of {', '.join(named[:-1])} and {named[-1]}. {order}"


def _changed_code(revisions: Sequence[Revision], root: Path) -> dict[str, int | None]:
    first, *others = revisions
    return {other.name: changed_code(first, other, root) for other in others}


def _differing(
    found: Numbers, table: str, revisions: Sequence[Revision], side_by_side: Callable[[tables.Table], page.Blocks]
) -> page.Blocks:
    """The numbers of one table that differ, and how many do not."""
    every = {key: rows for key, rows in found.items() if key.table == table}
    differ = numbers.differing(every, revisions)
    left_out = page.prose(LEFT_OUT.format(len(every) - len(differ), len(every)))
    return (*(side_by_side(tables.numbers_table(differ, revisions)) if differ else ()), left_out)


def _without(found: Numbers, others: Numbers) -> Numbers:
    return {key: rows for key, rows in found.items() if key not in others}


def _beside(
    draw: Callable[[str, Sequence[Revision]], alt.TopLevelMixin | None], runs: list[str], revisions: Sequence[Revision]
) -> Any:
    drawn = [draw(run, revisions) for run in runs]
    return page.beside([page.chart(chart) for chart in drawn if chart is not None])


def _plain(value: Any) -> Any:
    """Values that JSON has: NaN is null, numbers have six significant digits."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
