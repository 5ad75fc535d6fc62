"""The verdicts of all studies for docs/answers.md: each claim by study, and each claim over studies.

Over studies the unit is the pair of networks, one with and one without what the claim is about, in the order of their
seeds. The interval is Student's over all pairs, the p value that of flipping their signs; both take the pairs as a
sample of pairs, whatever study they come from, and say nothing of data sets and architectures that are not among them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from spectroscope.pipeline import io

STUDIES = {  # folder of the committed table of claims -> name of the study
    "reports/tables": "photographs",
    "docs/cifar10-cpu": "CIFAR-10, six epochs",
    "docs/public-cifar10": "public networks",
    "docs/finetune-cifar10": "fine-tuned ResNet-20",
    "docs/mnist": "MNIST",
}
FEWEST_PAIRS = 9  # with fewer, flipping signs cannot reach the levels of Holm's steps
CONFIDENCE = 0.95


def tables(root: Path) -> dict[str, pd.DataFrame]:
    """The table of claims of each study that has left one."""
    return {
        name: io.read_table(file) for folder, name in STUDIES.items() if (file := root / folder / "claims.csv").exists()
    }


def by_study(root: Path) -> str:
    """One Markdown table a study: a row for each claim with its verdict, effect, margin, n and control."""
    parts = []
    for name, claims in tables(root).items():
        weak = " These networks are below the study's own floor of accuracy." if claims["weak"].any() else ""
        lines = [
            f"**{name[0].upper()}{name[1:]}.**{weak}",
            "",
            "| claim | verdict | effect | expected | n | control |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_line(row) for row in claims.to_dict("records")]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def over_studies(root: Path) -> str:
    """A Markdown table: a row for each claim that at least two studies make, over their pairs of networks."""
    found = tables(root)
    lines = [
        "| claim | pairs | mean [95 % over pairs] | p, signs flipped | margin | verdict by study |",
        "|---" * 6 + "|",
    ]
    names = dict.fromkeys(name for claims in found.values() for name in claims["claim"])
    for name in names:
        rows = {study: row for study, claims in found.items() for row in _rows(claims, name)}
        if len(rows) > 1:
            first = next(iter(rows.values()))
            verdicts = "; ".join(f"{study}: {row['verdict']}" for study, row in rows.items())
            margin = _expected(first)
            lines.append(f"| {first['says']} | {_pairs(list(rows.values()))} | {margin} | {verdicts} |")
    return "\n".join(lines) + "\n"


def _rows(claims: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    return claims[claims["claim"] == name].to_dict("records")


def _pairs(rows: list[dict[str, Any]]) -> str:
    """Three cells: how many pairs, their mean with its interval, and p."""
    pairs = np.array([float(value) for row in rows for value in str(row["networks"]).split() if value != "nan"])
    if len(pairs) < FEWEST_PAIRS:
        return f"{len(pairs)} | fewer than {FEWEST_PAIRS} pairs | -"
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1) * stats.sem(pairs)
    flipped = stats.permutation_test((pairs,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
    mean = pairs.mean()
    return f"{len(pairs)} | {mean:+.3g} [{mean - half:+.3g}, {mean + half:+.3g}] | {flipped.pvalue:.2g}"


def _line(row: dict[str, Any]) -> str:
    sizes = {"n_runs": "runs", "n_networks": "networks", "n_images": "images"}
    sample = ", ".join(f"{int(row[name])} {noun}" for name, noun in sizes.items() if row[name])
    notes = [str(row[name]) for name in ("void", "reason") if isinstance(row[name], str) and row[name]]
    verdict = f"**{row['verdict']}**" + (f" ({'; '.join(notes)})" if notes else "")
    control = _interval(row["control"], row["control_low"], row["control_high"])
    effect = _interval(row["mean"], row["low"], row["high"])
    return f"| {row['says']} | {verdict} | {effect} | {_expected(row)} | {sample or '-'} | {control} |"


def _expected(row: dict[str, Any]) -> str:
    sign = "-" if row["expect"] == "below" and row["margin"] else ""
    return f"{row['expect']} {sign}{row['margin']:g} {row['unit']}"


def _interval(mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:+.3g}" + ("" if math.isnan(low) or math.isnan(high) else f" [{low:+.3g}, {high:+.3g}]")
