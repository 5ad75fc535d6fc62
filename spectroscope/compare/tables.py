"""Tables of a comparison as text, for the page and for Markdown: each a frame and its caption."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from spectroscope.compare import numbers, settings
from spectroscope.compare.numbers import Key, Numbers
from spectroscope.compare.revisions import Revision
from spectroscope.report import words

Table = tuple[pd.DataFrame, str]
NO_CHANGE = "No setting differs."
NO_CLAIMS = "No claims: no revision has any."
INTERVALS = (
    "An interval of a difference is over networks, paired by seed, for these test images alone: other images "
    "would move it further. Where brackets hold words, they say why there is none. "
)
VERDICTS = "Verdict, effect with its interval, and the margin that the effect was held against. "


def settings_table(revisions: Sequence[Revision]) -> Table:
    """Settings that differ: a row for each key, a column for each revision."""
    changed = settings.changes([revision.settings for revision in revisions])
    rows = [(key, *map(_setting, values)) for key, values in changed.items()]
    frame = pd.DataFrame(rows, columns=["setting", *(revision.name for revision in revisions)])
    return frame, f"{words.count(len(rows), 'setting')} of `params.yaml` differ{'s' if len(rows) == 1 else ''}."


def claims_table(revisions: Sequence[Revision]) -> Table:
    """Verdicts: a row for each claim, a column for each revision."""
    rows_of = {revision.name: _claims(revision) for revision in revisions}
    rows, changed = [], []
    for claim in dict.fromkeys(claim for rows in rows_of.values() for claim in rows):
        of_claim = {name: rows.get(claim) for name, rows in rows_of.items()}
        says = dict.fromkeys(str(row["says"]) for row in of_claim.values() if row)
        cells = [
            _verdict(row) if row else "no claims" if revision.claims is None else "absent"
            for revision, row in zip(revisions, of_claim.values(), strict=True)
        ]
        rows.append((f"{claim}: {' / '.join(says)}", *cells))
        if len({str(row["verdict"]) if row else "" for row in of_claim.values()}) > 1:
            changed.append(claim)
    verdicts = f"Another verdict, or none in some revision: {', '.join(changed)}." if changed else "No verdict differs."
    return pd.DataFrame(rows, columns=["claim", *rows_of]), VERDICTS + verdicts


def numbers_table(found: Numbers, revisions: Sequence[Revision]) -> Table:
    """Numbers with their intervals: a row for each, columns for the revisions and for what the others differ by."""
    first, *others = revisions
    rows, differences = [], []
    for key, of_key in found.items():
        cells = [number(key, of_key.get(revision.name)) for revision in revisions]
        differ = [numbers.difference(key, of_key, first, other) for other in others]
        rows.append((f"{key.run}: {title(key)}", *cells, *(change(key, each) for each in differ)))
        differences += differ
    named = [f"{other.name} minus {first.name}" for other in others]
    frame = pd.DataFrame(rows, columns=["", *(revision.name for revision in revisions), *named])
    return frame, f"Numbers: {words.sample_note(numbers.frame(found))} {INTERVALS}{_counted(differences)}".rstrip()


def number(key: Key, row: dict[str, Any] | None) -> str:
    """A number with its interval; a star where it is no centre of reliance."""
    if row is None:
        return "absent"
    text = words.number(row["mean"], row["low"], row["high"], key.share, row["networks"])
    return f"{text} *" if row.get("marked") and text != "-" else text


def change(key: Key, difference: numbers.Difference) -> str:
    """A difference with its interval, or in the brackets the reason why it has none."""
    if math.isnan(difference.mean):
        return f"- [{difference.why}]"
    if difference.why == numbers.SAME:
        return numbers.SAME
    scale, form, unit = (100, "+.1f", " points") if key.share else (1, "+.2f", "")
    mean, low, high = (f"{value * scale:{form}}" for value in difference[:3])
    return f"{mean}{unit} [{difference.why or f'{low}, {high}'}]"


def title(key: Key) -> str:
    """The number in words."""
    if key.table == "accuracy":
        return "clean accuracy" if key.statistic == "clean" else f"accuracy under {key.statistic}"
    return key.statistic.replace("_", " ").replace("hf share", "high-frequency share")


def notes(revisions: Sequence[Revision], changed_code: dict[str, int | None]) -> list[str]:
    """What beside the settings may make numbers differ: results older than their settings, other code."""
    found = [
        f"The results of {revision.name} are older than its settings: {', '.join(revision.stale)} changed since. "
        "`dvc repro` brings them up to date."
        for revision in revisions
        if revision.stale
    ]
    first = revisions[0].name
    found += [
        f"The code of {name} differs from that of {first} in {words.count(n, 'file')}, which may change numbers too."
        for name, n in changed_code.items()
        if n
    ]
    return found


def _counted(differences: list[numbers.Difference]) -> str:
    """How many differences have an interval without zero."""
    sure = sum(each.low > 0 or each.high < 0 for each in differences)
    with_interval = sum(not each.why for each in differences)
    reasons = Counter(each.why for each in differences if each.why)
    text = (
        f"{sure} of {words.count(with_interval, 'difference')} with an interval have one without zero; intervals are "
        "not corrected for their number. "
        if with_interval
        else "No difference has an interval. "
    )
    listed = ", ".join(f"{why} ({n})" for why, n in reasons.items())
    return text + (f"Without an interval: {listed}. " if listed else "")


def _claims(revision: Revision) -> dict[str, dict[str, Any]]:
    if revision.claims is None:
        return {}
    return {str(row["claim"]): row for row in revision.claims.to_dict("records")}


def _verdict(row: dict[str, Any]) -> str:
    """`supported, 0.45 shells, margin 0.2 [0.31, 0.59]`; a void claim with its reason, if one is written down."""
    verdict, reason = str(row["verdict"]), row["void"]
    if (isinstance(reason, str) and reason) or reason is True:
        given = "void" if reason is True else f"void ({reason})"
        verdict = given if verdict == "void" else f"{given}, else {verdict}"
    if pd.isna(row["mean"]):
        return verdict
    unit = "" if pd.isna(row["unit"]) else f" {row['unit']}"
    effect = f"{verdict}, {row['mean']:.3g}{unit}, margin {row['margin']:.3g}"
    return effect if pd.isna(row["low"]) else f"{effect} [{row['low']:.3g}, {row['high']:.3g}]"


def _setting(value: Any) -> str:
    return "absent" if value is settings.ABSENT else words.setting(value)
