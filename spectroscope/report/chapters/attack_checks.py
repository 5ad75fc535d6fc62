"""Strength of the attacks and signs of masked gradients, queries, success inside each band, and transfer."""

import math

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["attack_checks"]
SOUND = (
    "No check speaks against the attacks: none beats the strongest white box of its radius beyond chance, no gradient "
    "is zero, and no output varies between two passes or is a probability. A stronger attack may still exist. "
)
STRENGTH = (
    "The share of images fooled among those the network had right, which alone are attacked; then the medians over the "
    "successes of the l2 norm and of the queries. Without a radius the result of an attack is not the share but the "
    "norm: its median counts a failure as infinite and has an interval. A single step and a white box use gradients, a "
    "black box scores or classes, a control nothing; the ensemble is AutoAttack at its standard settings, or reduced. "
    "Radii are in pixel units of [0, 1]: compare attacks of one norm and radius. Rows rest on different images, and no "
    "row shows that a stronger attack does not exist. "
)
QUERIES = (
    "Black boxes: the share of images fooled within a number of queries (log scale). A curve that still rises at its "
    "end would go on: the curve does not show what more queries would do. An attack without a radius (`hop_skip_jump` "
    "can be one) counts its first adversary, however large. "
)
CONFINED = (
    "Left: the share of images fooled inside one band at the matched l2 norm (the radius of an l2 ball, else the "
    "smallest median norm of the successes over runs and bands). Right: the probability of the label that is lost, in "
    "points, when what the attack may change is removed. Where both are high, the run is fooled where it relies. Whole "
    "bands differ in their number of coefficients, so a higher share in a larger band may be its size; an equal number "
    "of coefficients, drawn at random within each band, compares bands, but does not show what the whole band allows. "
)
TRANSFER = (
    "Perturbations found on one run (rows), added to the images before another (columns): the share fooled, of the "
    "images on which they fool the first run and which the second has right. With small n a cell says little. Networks "
    "are paired in the order of their seeds. The table does not show why perturbations transfer. "
)
ATTACKED = "correctly classified image"


def blocks(results: Results) -> page.Blocks:
    run_colours, tables = results.run_colours, results.tables
    warnings = [f"{run}, {check}: {text}." for run, texts in results.warnings.items() for check, text in texts.items()]
    attacked = words.sample(tables["attacks"], ATTACKED)
    content = [
        page.prose("Warnings", *warnings, kind="warning") if warnings else page.prose(f"{SOUND}{attacked}."),
        page.table(strength(tables["attacks"], run_colours), STRENGTH + strongest(tables["attacks"]), run_colours),
    ]
    for name, (question, draw) in CHARTS.items():
        if len(tables[name]):
            content += [page.heading(question), page.chart(draw(tables[name], run_colours))]
    return tuple(content)


def strength(table: pd.DataFrame, run_colours: RunColours) -> pd.DataFrame:
    """Attacks in rows; kind, radius, images, then success, l2 and queries of each run."""
    lines = []
    for attack, rows in table.groupby("attack", sort=False):
        first, by_run = rows.iloc[0], rows.set_index("run")
        radius = "none" if pd.isna(first["eps"]) else f"{first['norm']} {first['eps']:.3g}"
        cells = []
        for run in run_colours:
            row = by_run.loc[run]
            queries = "" if pd.isna(row["queries"]) else words.count(round(row["queries"]), "query")
            sizes = f" · {_norm(row)} · {queries}" if pd.notna(row["l2"]) else ""
            cells.append(words.number(row["mean"], row["low"], row["high"], True, row["networks"]) + sizes)
        lines.append((attack, first["kind"], radius, words.n_images(rows), *cells))
    return pd.DataFrame(lines, columns=["attack", "kind", "radius", "images", *run_colours])


def _norm(row: pd.Series) -> str:
    """The median l2 norm: of the successes or, where the norm is the result, of all images and with its interval."""
    if pd.isna(row["median_l2"]):
        return f"l2 {row['l2']:.2g}"
    interval = f" [{row['median_l2_low']:.2g}, {row['median_l2_high']:.2g}]" if pd.notna(row["median_l2_low"]) else ""
    return f"median l2 {row['median_l2']:.2g}{interval}"


def strongest(table: pd.DataFrame) -> str:
    """The attack in a ball that fools the most of each run, as a sentence; none where no attack has a ball."""
    bounded = table[table["eps"].notna() & (table["kind"] != "control")]
    same = bounded[bounded["n_attacked"] == bounded["n_attacked"].max()]
    return (
        f"In a ball, of the attacks on the most images, most are fooled by: {words.peaks(same, 'attack')}."
        if len(same)
        else ""
    )


def queries(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Success of the black boxes against queries, one panel for each attack."""
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("queries:Q", scale=scale, title="queries", axis=alt.Axis(tickCount=5))
    base = alt.Chart().encode(x, style.run_colour(run_colours))
    tooltip = style.tooltip("run", "attack", "queries", share=True)
    panel = charts.curves(base, style.axis(alt.Y, "share fooled", ".0%", 5), tooltip)
    columns = min(3, table["attack"].nunique())
    panel = panel.properties(width=930 // columns - 60, height=200)
    chart = charts.panels(panel, table, "attack", ("run", "queries"), columns)
    chart = chart.resolve_scale(x="independent").resolve_axis(x="independent").add_params(style.highlight())
    ends = table[table["queries"] == table.groupby(["run", "attack"])["queries"].transform("max")]
    by_attack = [
        f"{attack} {rows['mean'].min():.0%} to {rows['mean'].max():.0%}"
        for attack, rows in ends.groupby("attack", sort=False)
    ]
    fooled = f"Fooled with all queries, over runs: {', '.join(by_attack)}. "
    return style.styled(chart, QUERIES + fooled + words.sample_note(table, ATTACKED))


def confined(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Success of attacks confined to one band at equal l2 norm, beside what the run loses with the band.

    A pair of panels for each entry and radius: whole bands, or an equal number of coefficients of each.
    """
    spans = table.groupby("entry")["coefficients"].agg(["min", "max"])
    equal = spans["min"] == spans["max"]
    kinds = {entry: f"{spans['min'][entry]} coefficients" if equal[entry] else "whole bands" for entry in spans.index}
    names = [f"{row.entry} ({kinds[row.entry]}), l2 {row.l2:.3g}" for row in table.itertuples()]
    relied = alt.Scale(domain=[min(0, table["relied"].min()), max(0, table["relied"].max())])
    (left, right), *others = (
        _confined(rows, str(name), run_colours, relied) for name, rows in table.groupby(names, sort=False)
    )
    pairs = [(left.add_params(style.highlight()), right), *others]
    chart = alt.vconcat(*(alt.hconcat(*pair, spacing=36) for pair in pairs), spacing=18)
    first = table[
        (table["run"] == table["run"].iloc[0]) & (table["l2"] == table.groupby("entry")["l2"].transform("min"))
    ]
    shares = [
        f"{entry} ({kinds[entry]}) " + ", ".join(f"{row.band} {row.mean:.0%}" for row in rows.itertuples())
        for entry, rows in first.groupby("entry", sort=False)
    ]
    fooled = f"Fooled of {first['run'].iloc[0]}: {'; '.join(shares)}. "
    return style.styled(chart, CONFINED + fooled + words.sample_note(table, ATTACKED))


def _confined(
    rows: pd.DataFrame, name: str, run_colours: RunColours, scale: alt.Scale
) -> tuple[alt.LayerChart, alt.Chart]:
    values = (*charts.SUMMARY, "relied", "coefficients")
    base = alt.Chart(charts.inline(rows, "run", "band", values=values)).encode(
        alt.X("band:N", sort=list(dict.fromkeys(rows["band"])), title=None, axis=alt.Axis(labelAngle=0)),
        alt.XOffset("run:N", sort=list(run_colours)),
        style.run_colour(run_colours),
        opacity=style.highlighted(),
    )
    tooltip = [
        *style.tooltip("run", "band", share=True),
        alt.Tooltip("relied:Q", format=".1%"),
        alt.Tooltip("coefficients:Q"),
    ]
    fooled = alt.layer(*charts.dots(base, style.axis(alt.Y, "share fooled", ".0%", 5).scale(domain=[0, 1]), tooltip))
    drop = alt.Y("relied:Q", title="label's probability lost", scale=scale, axis=alt.Axis(format=".0%", tickCount=5))
    relied = base.mark_bar().encode(drop, tooltip=tooltip)
    size = {"width": 400, "height": 200}
    return fooled.properties(title=f"Fooled inside the band: {name}", **size), relied.properties(
        title="Relied on", **size
    )


def transfer(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """How often what fooled one run fools another: a matrix for each attack."""
    columns, n_runs = min(2, table["attack"].nunique()), len(run_colours)
    width = min(110 * n_runs, math.floor(760 / columns))
    axis = alt.Axis(labelAngle=0, orient="top", labelLimit=width // n_runs - 4)
    base = alt.Chart().encode(
        alt.X("run:N", sort=list(run_colours), title="tried on", axis=axis),
        alt.Y("source:N", sort=list(run_colours), title="found on"),
        tooltip=style.tooltip("attack", "source", "run", share=True),
    )
    panel = charts.share_matrix(base, "share fooled", ".0%", 12).properties(width=width, height=36 * n_runs)
    chart = charts.panels(panel, table, "attack", ("source", "run"), columns)
    chart = chart.resolve_axis(x="independent", y="independent")
    ordered = table.dropna(subset=["mean"]).sort_values("mean", kind="stable")
    ends = [f"{row.attack} from {row.source} to {row.run} {row.mean:.0%}" for row in ordered.itertuples()]
    fooled = f"Most transfers {ends[-1]}, least {ends[0]}. " if ends else ""
    return style.styled(chart, TRANSFER + fooled + words.sample_note(table, "image", drawn=False))


CHARTS = {
    "queries": ("How many queries?", queries),
    "confined": ("Inside which band are networks fooled?", confined),
    "attack_transfer": ("Do adversaries transfer between networks?", transfer),
}
