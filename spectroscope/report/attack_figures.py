"""Charts of the attacks: success against queries, where perturbations carry over, which band a run is weak in."""

import math

import altair as alt
import pandas as pd

from spectroscope.report import style


def queries(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Success of the black boxes within so many queries, one panel for each attack."""
    style.require(table, "queries", "run", "attack", "queries", "mean", "low", "high", "n_images", "n_seeds")
    attacks = list(dict.fromkeys(table["attack"]))
    base = alt.Chart().encode(
        alt.X("queries:Q", scale=alt.Scale(type="log", nice=False), title="queries", axis=alt.Axis(tickCount=5)),
        style.colour(hues),
    )
    band = base.mark_area().encode(alt.Y("low:Q"), alt.Y2("high"), opacity=style.picked(0.15))
    line = base.mark_line(strokeWidth=1.8).encode(
        alt.Y("mean:Q", title="share fooled", axis=alt.Axis(format=".0%", tickCount=5)),
        opacity=style.picked(),
        tooltip=style.tooltip("run", "attack", "queries", share=True),
    )
    columns = min(3, len(attacks))
    panel = alt.layer(band, line).properties(width=930 // columns - 60, height=200)
    facet = alt.Facet("attack:N", sort=attacks, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    chart = panel.facet(facet, columns=columns, data=style.data(table, "run", "attack", "queries"))
    chart = chart.resolve_scale(x="independent").resolve_axis(x="independent").add_params(style.pick())
    caption = "Black boxes: the share of images fooled within so many evaluations of the network (log scale). "
    return style.styled(chart, caption + style.made(table, "images that were right before"))


def transfer(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """How often what fooled one run fools another: a matrix for each attack."""
    style.require(table, "attack_transfer", "attack", "source", "run", "mean", "low", "high", "n_images", "n_seeds")
    attacks = list(dict.fromkeys(table["attack"]))
    columns = min(2, len(attacks))
    base = alt.Chart().encode(
        alt.X("run:N", sort=list(hues), title="tried on", axis=alt.Axis(labelAngle=0, orient="top")),
        alt.Y("source:N", sort=list(hues), title="made on"),
        tooltip=style.tooltip("attack", "source", "run", share=True),
    )
    scale = alt.Scale(domain=[0, 1], range=list(style.SEQUENTIAL), interpolate="rgb")
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="share fooled", format=".0%"))
    )
    light = alt.condition("datum.mean > 0.55", alt.value("white"), alt.value(style.INK))
    numbers = base.mark_text(fontSize=12).encode(alt.Text("mean:Q", format=".0%"), color=light)
    width = min(110 * len(hues), math.floor(760 / columns))
    panel = alt.layer(cells, numbers).properties(width=width, height=36 * len(hues))
    facet = alt.Facet("attack:N", sort=attacks, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    chart = panel.facet(facet, columns=columns, data=style.data(table, "attack", "source", "run"))
    caption = (
        "Perturbations made on one run (rows), added to the images before another (columns): the share fooled, of the "
        "images on which they fool the first and which the second has right. "
    )
    return style.styled(chart.resolve_axis(x="independent", y="independent"), caption + style.made(table, "images"))


def confined(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Success of attacks confined to one band at equal l2 norm, beside what the run loses with the band."""
    style.require(table, "confined", "run", "entry", "band", "l2", "relied", "mean", "low", "high", "n_images")
    table = table.assign(attack=[f"{row.entry}, l2 {row.l2:.3g}" for row in table.itertuples()])
    panels = []
    for name, part in table.groupby("attack", sort=False):
        bands = list(dict.fromkeys(part["band"]))
        source = style.data(part, "run", "band", values=("mean", "low", "high", "relied"))
        base = alt.Chart(source).encode(
            alt.X("band:N", sort=bands, title=None, axis=alt.Axis(labelAngle=0)),
            alt.XOffset("run:N", sort=list(hues)),
            style.colour(hues),
            opacity=style.picked(),
        )
        tip = [*style.tooltip("run", "band", share=True), alt.Tooltip("relied:Q", format=".3f")]
        share = alt.Y("mean:Q", title="share fooled", axis=alt.Axis(format=".0%"))
        fooled = base.mark_point(filled=True, size=60).encode(share, tooltip=tip)
        bars = base.mark_rule(strokeWidth=2).encode(alt.Y("low:Q"), alt.Y2("high"))
        lost = base.mark_bar().encode(alt.Y("relied:Q", title="logit drop without the band"), tooltip=tip)
        left = alt.layer(bars, fooled).properties(width=400, height=200, title=f"Fooled inside the band: {name}")
        left = left if panels else left.add_params(style.pick())
        panels.append(alt.hconcat(left, lost.properties(width=400, height=200, title="Relied on"), spacing=36))
    caption = (
        "Left: the share of images fooled by an attack whose perturbation lies in one band, at equal l2 norm; the "
        "higher, the weaker the run is there. Right: how far the label's logit falls without the band. "
    )
    return style.styled(alt.vconcat(*panels, spacing=18), caption + style.made(table, "images that were right before"))
