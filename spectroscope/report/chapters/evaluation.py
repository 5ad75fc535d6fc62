"""Accuracy of every run, clean and under every attack, beside two summaries of what it relies on."""

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["evaluation"]
NAMES = {"clean": "clean accuracy", "hf_share": "OF high-frequency share", "centroid": "OF centroid (shell)"}
CENTROID_K = "OF centroid (k = shell + 1)"  # the paper's unit
TABLE = (
    "Accuracy on test images, clean and under each attack; then two summaries of Occluded Frequency (OF) above DC: the "
    "centroid of its positive part, in shells (0 = DC) and in the paper's k = shell + 1, and the share of high shells "
    "in it (from `hf_from` on). In brackets the interval. Attacks may use fewer images than the clean row, so their "
    "rows differ in n. "
)
CHART = (
    "Accuracy on clean test images and under each attack: the further right a dot, the more images stay correct. It "
    "bounds what a run withstands from above: a stronger attack can push a dot further left. "
)


def blocks(results: Results) -> page.Blocks:
    frame, caption = results_table(results)
    return (
        page.table(frame, caption, results.run_colours),
        page.chart(accuracy(results.tables["accuracy"], results.run_colours)),
    )


def results_table(results: Results) -> tuple[pd.DataFrame, str]:
    """Accuracies and summaries of reliance in rows, runs in columns; and the caption."""
    reliance = results.tables["reliance"]
    reliance = reliance[reliance["statistic"].isin(NAMES)]
    accuracies = results.tables["accuracy"].rename(columns={"attack": "statistic"})
    summaries = pd.concat([accuracies, reliance], ignore_index=True)
    lines = []
    for statistic, rows in summaries.groupby("statistic", sort=False):
        by_run = rows.set_index("run")[["mean", "low", "high"]].reindex(list(results.run_colours))
        share = statistic != "centroid"
        numbers = [words.number(row.mean, row.low, row.high, share) for row in by_run.itertuples()]
        lines.append((NAMES.get(statistic, f"under {statistic}"), *numbers))
        if statistic == "centroid":
            in_k = [words.number(row.mean, row.low, row.high, share) for row in (by_run + 1).itertuples()]
            lines.append((CENTROID_K, *in_k))
    caption = TABLE + words.sample_note(summaries)
    undefined = reliance[reliance["n_missing"] > 0]
    if len(undefined):
        listed = ", ".join(f"{row.run} {row.n_missing:g}" for row in undefined.itertuples())
        n_classes = words.count(len(results.images.classes), "class")
        caption += f" Of {n_classes}, those without a high-frequency share are left out of it: {listed}."
    return pd.DataFrame(lines, columns=["", *results.run_colours]), caption


def accuracy(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Accuracy without and under each attack: dots with intervals."""
    chart = charts.dots_by_row(table, run_colours, "attack", style.axis(alt.X, "accuracy", ".0%", 8), width=840)
    lowest = words.peaks(table[table["attack"] != "clean"], "attack", lowest=True)
    caption = f"{CHART}Lowest accuracy: {lowest}. {words.sample_note(table)}"
    return style.styled(chart.add_params(style.highlight()), caption)
