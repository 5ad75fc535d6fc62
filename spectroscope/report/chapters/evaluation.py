"""Accuracy of every run, clean and under every attack, beside two summaries of what it relies on."""

import math
from typing import Any

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["evaluation"]
RELIANCE = {  # (score, statistic) -> name, whether it is a share
    ("margin", "centroid"): ("centroid, margin (shell)", False),
    ("margin", "hf_share"): ("high-frequency share, margin", True),
    ("margin", "negative_share"): ("negative part, margin", True),
    ("margin", "class_negative"): ("the same, class by class", True),
    ("logit", "centroid"): ("paper mode: centroid, logit (k)", False),
    ("logit", "hf_share"): ("paper mode: high-frequency share", True),
}
TABLE = (
    "Accuracy on test images: clean, on the band that the run was trained on, and under each attack within a ball. "
    "Each row has its own images (n); where they are fewer than those of the first row, `of` names the clean accuracy "
    "on the same images. Accuracy under noise, the control, is in the chart. "
)
SUMMARIES = (
    "Below: Occluded Frequency above DC. Centroid and high-frequency share summarise its positive part; where more "
    "than a tenth of its mass is negative (marked *), they are no centre of reliance. Paper mode is Wang et al. 2020, "
    "who count k = shell + 1. "
)
UNBOUNDED = "Attacks without a ball have no accuracy; their norms are in the chapter on attack checks. "
KINDS = ("clean", "bounded", "noise")
CHART = (
    "Accuracy on clean test images and under each attack; the grey line is chance. It bounds what a run withstands "
    "from above: a stronger attack can push a dot further left. "
)


def blocks(results: Results) -> page.Blocks:
    frame, caption = results_table(results)
    chart = accuracy(results.tables["accuracy"], results.tables["attacks"], results.run_colours, results.chance)
    return page.table(frame, caption, results.run_colours), page.chart(chart)


def results_table(results: Results) -> tuple[pd.DataFrame, str]:
    """Accuracies and summaries of reliance in rows, runs in columns; and the caption."""
    tables, runs = results.tables, list(results.run_colours)
    accuracies = pd.concat(grouped(tables["accuracy"], tables["attacks"]).values())
    own = tables["band_accuracy"].merge(pd.DataFrame({"run": runs, "band": [results.band_of(run) for run in runs]}))
    lines = []
    noise = tables["attacks"].loc[tables["attacks"]["kind"] == "control", "attack"]
    for attack, rows in accuracies[~accuracies["attack"].isin(noise)].groupby("attack", sort=False):
        full = rows["n_images"].max() == accuracies["n_images"].max()
        cells = {row.run: _accuracy(row, None if full else row.clean) for row in rows.itertuples()}
        name = "clean accuracy" if attack == "clean" else f"under {attack}"
        lines.append((name, words.n_images(rows), *(cells.get(run, "-") for run in runs)))
        if attack == "clean" and results.band_runs:
            cells = {row.run: _accuracy(row) for row in own.itertuples()}
            lines.append(("accuracy on its own band", words.n_images(own), *(cells.get(run, "-") for run in runs)))
    reliance = tables["reliance"]
    for (score, statistic), (name, share) in RELIANCE.items():
        rows = reliance[(reliance["score"] == score) & (reliance["statistic"] == statistic)]
        cells = {row.run: _summary(row, share, score == "logit" and not share) for row in rows.itertuples()}
        sizes = words.n_images(rows) if len(rows) else "-"
        lines.append((name, sizes, *(cells.get(run, "at chance" if run in results.at_chance else "-") for run in runs)))
    caption = TABLE + SUMMARIES + f"Chance is {results.chance:.1%}. "
    if results.at_chance:
        caption += (
            f"At chance on clean images, so that what they rely on means nothing: {', '.join(results.at_chance)}. "
        )
    if set(tables["attacks"]["attack"]) - set(accuracies["attack"]):
        caption += UNBOUNDED
    undefined = reliance.loc[reliance["statistic"] == "hf_share"].groupby("score")["n_missing"].max()
    if undefined.any():
        listed = ", ".join(f"{n:g} by {score}" for score, n in undefined.items() if n)
        caption += f"Classes that have no high-frequency share in some network are left out of it for all: {listed}. "
    caption += words.sample_note(pd.concat([accuracies, reliance]))
    return pd.DataFrame(lines, columns=["", "images", *runs]), caption


def _accuracy(row: Any, clean: float | None = None) -> str:
    """An accuracy with its interval, of the clean accuracy of the same images if these are not all."""
    text = words.number(row.mean, row.low, row.high, True, row.networks)
    return text if clean is None or math.isnan(clean) else f"{text} of {100 * clean:.1f} %"


def _summary(row: Any, share: bool, in_k: bool) -> str:
    """A summary of reliance with its interval; a star where it is no centre of reliance."""
    mean, low, high = (value + in_k for value in (row.mean, row.low, row.high))
    networks = " ".join(f"{float(value) + in_k:.4g}" for value in str(row.networks).split())
    text = words.number(mean, low, high, share, networks)
    return f"{text} *" if row.marked and text != "-" else text


def grouped(table: pd.DataFrame, attacks: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Accuracies by (kind, title) of what bounds the attack, kinds as in KINDS; a ball or size of noise has a title."""
    sizes = attacks.drop_duplicates("attack").set_index("attack")

    def group(attack: str) -> tuple[str, str]:
        if attack not in sizes.index:
            return "clean", "no attack"
        kind, norm, eps = sizes.loc[attack, ["kind", "norm", "eps"]]
        return (
            ("noise", f"noise, {norm} norm {eps:.3g}") if kind == "control" else ("bounded", f"{norm} ball, {eps:.3g}")
        )

    groups = pd.Series([group(attack) for attack in table["attack"]], table.index)
    return {key: table[groups == key] for key in sorted(groups.unique(), key=lambda key: KINDS.index(key[0]))}


def accuracy(table: pd.DataFrame, attacks: pd.DataFrame, run_colours: RunColours, chance: float) -> alt.TopLevelMixin:
    """Accuracy without and under each attack, one panel for each ball: dots with intervals, a line at chance."""
    x = style.axis(alt.X, "accuracy", ".0%", 8).scale(domain=[0, 1])
    groups = grouped(table, attacks)
    first, *others = (
        alt.layer(charts.dots_by_row(rows, run_colours, "attack", x, width=840), charts.rule(alt.X, chance)).properties(
            title=name
        )
        for (_, name), rows in groups.items()
    )
    chart = alt.vconcat(first.add_params(style.highlight()), *others, spacing=14)
    bounded = [rows for (kind, _), rows in groups.items() if kind == "bounded"]
    return style.styled(chart, CHART + (lowest(pd.concat(bounded)) if bounded else "") + words.sample_note(table))


def lowest(table: pd.DataFrame) -> str:
    """The attack under which each run is least accurate, among those on the most images: others have other images."""
    n = int(table["n_images"].max())
    found = words.peaks(table[table["n_images"] == n], "attack", lowest=True)
    return f"Lowest accuracy in a ball, of the attacks on {words.count(n, 'image')}: {found}. "
