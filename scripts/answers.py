"""The verdicts of all studies for docs/answers.md: each claim by study, and each claim over studies.

Over studies the unit is the pair of networks, one with and one without what the claim is about, in the order of their
seeds; pairs of a study where the claim is void, or its effect stands for nothing, are left out. The interval is
Student's over the pairs. p is that of flipping the signs of the pairs' distances from the margin, and the verdict that
of Holm's steps over the claims of the table. Both take the pairs as a sample of pairs, whatever study they come from,
and say nothing of data sets and architectures that are not among them.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from spectroscope.pipeline import io
from spectroscope.report import words

STUDIES = {  # folder of the committed table of claims -> name of the study
    "reports/tables": "photographs",
    "docs/cifar10-cpu": "CIFAR-10, six epochs",
    "docs/public-cifar10": "public networks",
    "docs/finetune-cifar10": "fine-tuned ResNet-20",
    "docs/mnist": "MNIST",
}
FEWEST_PAIRS = 9  # with fewer, flipping signs cannot reach the levels of Holm's steps
CONFIDENCE = 0.95
HEADLINE = ("adversarial-moves-down", "robust-perturbed-low", "lowpass-makes-robust")


def tables(root: Path) -> dict[str, pd.DataFrame]:
    """The table of claims of each study that has left one."""
    return {
        name: io.read_table(file) for folder, name in STUDIES.items() if (file := root / folder / "claims.csv").exists()
    }


def headline(root: Path) -> str:
    """Three claims as a list for README.md: the verdict of each study with its effect."""
    found, lines = tables(root), []
    for name in HEADLINE:
        rows = {study: row for study, claims in found.items() for row in _rows(claims, name)}
        first = next(iter(rows.values()))
        each = [
            f"{row['verdict']} on {study}" + ("" if row["verdict"] == "void" else f" ({_effect(row)})")
            for study, row in rows.items()
        ]
        lines.append(f"* **{first['says']}** (margin {first['margin']:g}, {first['unit']}): {'; '.join(each)}.")
    return "\n".join(lines) + "\n"


def _effect(row: dict[str, Any]) -> str:
    if _no_centre(row):
        return "its curve has no centre"
    sample = words.count(int(row["n_networks"]), "network")
    return f"{_interval(row['mean'], row['low'], row['high'])}, {sample}" + (", weak" if row["weak"] else "")


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
    names = dict.fromkeys(name for claims in found.values() for name in claims["claim"])
    by_claim = {name: {study: row for study, claims in found.items() for row in _rows(claims, name)} for name in names}
    by_claim = {name: rows for name, rows in by_claim.items() if len(rows) > 1}
    beyond = {name: np.concatenate([_beyond(row) for row in rows.values()]) for name, rows in by_claim.items()}
    p = {name: _flipped(pairs) for name, pairs in beyond.items()}
    decided = _decided(p)
    lines = [
        "| claim | pairs | mean [95 % over pairs] | margin | p, signs flipped | verdict over pairs | by study |",
        "|---" * 7 + "|",
    ]
    for name, rows in by_claim.items():
        first = next(iter(rows.values()))
        pairs = beyond[name] + first["margin"]
        mean = _mean(-pairs if first["expect"] == "below" else pairs)
        verdict = ("supported" if beyond[name].mean() > 0 else "refuted") if name in decided else "undetermined"
        verdict = f"**{verdict}**" if len(pairs) >= FEWEST_PAIRS else f"fewer than {FEWEST_PAIRS} pairs"
        each = "; ".join(f"{study}: {row['verdict']}" for study, row in rows.items())
        shown = "-" if np.isnan(p[name]) else f"{p[name]:.2g}"
        lines.append(f"| {first['says']} | {len(pairs)} | {mean} | {_expected(first)} | {shown} | {verdict} | {each} |")
    return "\n".join(lines) + "\n"


def _rows(claims: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    return claims[claims["claim"] == name].to_dict("records")


def _beyond(row: dict[str, Any]) -> np.ndarray:
    """How far each pair lies beyond the margin, in the expected direction; none where the study is no evidence."""
    no_evidence = row["verdict"] == "void" or _no_centre(row)
    pairs = np.array([float(value) for value in str(row["networks"]).split() if value != "nan" and not no_evidence])
    return (-pairs if row["expect"] == "below" else pairs) - row["margin"]


def _no_centre(row: dict[str, Any]) -> bool:
    return str(row["reason"]).startswith("no centre")


def _flipped(beyond: np.ndarray) -> float:
    """Two-sided p of the mean when each sign might as well be the other; NaN with fewer than FEWEST_PAIRS pairs."""
    if len(beyond) < FEWEST_PAIRS:
        return math.nan
    found = stats.permutation_test((beyond,), np.mean, permutation_type="samples", n_resamples=9999, rng=0)
    return float(found.pvalue)


def _decided(p: dict[str, float]) -> set[str]:
    """The claims that Holm's steps decide; those without p count in the number of claims."""
    found = set[str]()
    for place, name in enumerate(sorted(p, key=lambda name: (math.isnan(p[name]), p[name]))):
        if not p[name] <= (1 - CONFIDENCE) / (len(p) - place):
            break
        found.add(name)
    return found


def _mean(pairs: np.ndarray) -> str:
    if len(pairs) < 2:
        return "-"
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1) * stats.sem(pairs)
    return f"{pairs.mean():+.3g} [{pairs.mean() - half:+.3g}, {pairs.mean() + half:+.3g}]"


def _line(row: dict[str, Any]) -> str:
    sizes = {"n_runs": "run", "n_networks": "network", "n_images": "image"}
    sample = ", ".join(words.count(int(row[name]), noun) for name, noun in sizes.items() if row[name])
    notes = [str(row[name]) for name in ("void", "reason", "choice") if isinstance(row.get(name), str) and row[name]]
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
