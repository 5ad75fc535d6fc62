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
    "in it (from `hf_from` on). In brackets the interval. "
)
KINDS = ("clean", "bounded", "unbounded", "noise")
ROWS = (
    "Column images has n: a row of few images can exceed the clean one. Below the attacks in a ball (in pixel units of "
    "[0, 1]) stand those without a bound, whose norm is the result, and noise, the control. "
)
CHART = (
    "Accuracy on clean test images and under each attack. It bounds what a run withstands from above: a stronger "
    "attack can push a dot further left. "
)


def blocks(results: Results) -> page.Blocks:
    frame, caption = results_table(results)
    return (
        page.table(frame, caption, results.run_colours),
        page.chart(accuracy(results.tables["accuracy"], results.tables["attacks"], results.run_colours)),
    )


def results_table(results: Results) -> tuple[pd.DataFrame, str]:
    """Accuracies and summaries of reliance in rows, runs in columns; and the caption."""
    reliance = results.tables["reliance"]
    reliance = reliance[reliance["statistic"].isin(NAMES)]
    accuracies = pd.concat(grouped(results.tables["accuracy"], results.tables["attacks"]).values())
    accuracies = accuracies.rename(columns={"attack": "statistic"})
    summaries = pd.concat([accuracies, reliance], ignore_index=True)
    lines = []
    for statistic, rows in summaries.groupby("statistic", sort=False):
        by_run = rows.set_index("run")[["mean", "low", "high"]].reindex(list(results.run_colours))
        share = statistic != "centroid"
        numbers = [words.number(row.mean, row.low, row.high, share) for row in by_run.itertuples()]
        lines.append((NAMES.get(statistic, f"under {statistic}"), words.n_images(rows), *numbers))
        if statistic == "centroid":
            in_k = [words.number(row.mean, row.low, row.high, share) for row in (by_run + 1).itertuples()]
            lines.append((CENTROID_K, words.n_images(rows), *in_k))
    caption = TABLE + ROWS + words.sample_note(summaries)
    undefined = reliance[reliance["n_missing"] > 0]
    if len(undefined):
        listed = ", ".join(f"{row.run} {row.n_missing:g}" for row in undefined.itertuples())
        n_classes = words.count(len(results.images.classes), "class")
        caption += f" Of {n_classes}, those without a high-frequency share are left out of it: {listed}."
    return pd.DataFrame(lines, columns=["", "images", *results.run_colours]), caption


def grouped(table: pd.DataFrame, attacks: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Accuracies by (kind, title) of what bounds the attack, kinds as in KINDS; a ball or size of noise has a title."""
    sizes = attacks.drop_duplicates("attack").set_index("attack")

    def group(attack: str) -> tuple[str, str]:
        if attack not in sizes.index:
            return "clean", "no attack"
        kind, norm, eps = sizes.loc[attack, ["kind", "norm", "eps"]]
        if kind == "control":
            return "noise", f"noise, {norm} norm {eps:.3g}"
        return ("unbounded", "no bound") if pd.isna(eps) else ("bounded", f"{norm} ball, radius {eps:.3g}")

    groups = pd.Series([group(attack) for attack in table["attack"]], table.index)
    return {key: table[groups == key] for key in sorted(groups.unique(), key=lambda key: KINDS.index(key[0]))}


def accuracy(table: pd.DataFrame, attacks: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Accuracy without and under each attack, one panel for each ball: dots with intervals."""
    x = style.axis(alt.X, "accuracy", ".0%", 8)
    groups = grouped(table, attacks)
    first, *others = (
        charts.dots_by_row(rows, run_colours, "attack", x.scale(domain=[0, 1]), width=840).properties(title=name)
        for (_, name), rows in groups.items()
    )
    chart = alt.vconcat(first.add_params(style.highlight()), *others, spacing=14)
    bounded = [rows for (kind, _), rows in groups.items() if kind == "bounded"]
    lowest = f"Lowest accuracy in a ball: {words.peaks(pd.concat(bounded), 'attack', lowest=True)}. " if bounded else ""
    return style.styled(chart, CHART + lowest + words.sample_note(table))
