"""Figures of the measures of reliance and of how good they are: a written table in, a Vega-Lite chart out."""

import altair as alt
import pandas as pd

from spectroscope.report import style


def measures(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Every measure side by side, one panel each, over the mean frequency of the bands above DC."""
    style.require(table, "methods", "run", "method", "band", "position", "mean", "low", "high", "n_images", "n_seeds")
    rows = table[table["band"] > 0]
    methods = list(dict.fromkeys(rows["method"]))
    base = alt.Chart().encode(
        alt.X("position:Q", title="mean frequency (1: highest)", axis=alt.Axis(grid=False, tickCount=5)),
        style.colour(hues),
    )
    band = base.mark_area().encode(alt.Y("low:Q", title=None), alt.Y2("high"), opacity=style.picked(0.15))
    line = base.mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=18)).encode(
        alt.Y("mean:Q", title=None),
        opacity=style.picked(),
        tooltip=style.tooltip("run", "method", "band"),
    )
    facet = alt.Facet("method:N", sort=methods, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    panel = alt.layer(band, line).properties(width=250, height=150)
    data = style.data(rows, "run", "method", "band", "position")
    chart = panel.facet(facet, columns=3, data=data).resolve_scale(y="independent").add_params(style.pick())
    caption = (
        "Every measure on the same images, bands and score, above DC; each panel has a unit of its own. Signed "
        "measures (occluded, kept, Shapley, products with gradients) speak for the class above zero; squared gradients "
        "and heat maps say how sensitive the network is. "
    )
    return style.styled(chart, caption + style.made(table))


def agreement(table: pd.DataFrame, runs: list[str]) -> alt.TopLevelMixin:
    """Rank correlation of every pair of measures, one matrix for each run."""
    style.require(table, "agreement", "run", "method", "other", "mean", "low", "high", "n_images", "n_seeds")
    names = list(dict.fromkeys([*table["method"], *table["other"]]))
    base = alt.Chart().encode(
        alt.X("other:N", sort=names, title=None, axis=alt.Axis(labelAngle=-40)),
        alt.Y("method:N", sort=names, title=None),
        tooltip=style.tooltip("run", "method", "other"),
    )
    scale = alt.Scale(domain=[-1, 1], range=list(style.DIVERGING), interpolate="rgb")
    cells = base.mark_rect(stroke="white").encode(
        alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="rho", orient="right"))
    )
    numbers = base.mark_text(fontSize=10, color=style.INK).encode(alt.Text("mean:Q", format=".1f"))
    side = 22 * len(names)
    facet = alt.Facet("run:N", sort=runs, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    data = style.data(table, "run", "method", "other")
    panel = alt.layer(cells, numbers).properties(width=side, height=side)
    chart = panel.facet(facet, columns=max(1, 700 // (side + 120)), data=data)
    caption = (
        "Spearman's rank correlation of the bands above DC as two measures rank them, by class, averaged over classes: "
        "1 where they rank alike. "
    )
    return style.styled(chart, caption + style.made(table))


def faithfulness(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Mean of the deletion and insertion curve of every order: dots with intervals."""
    style.require(table, "faithfulness", "run", "order", "unit", "kind", "mean", "low", "high", "n_images", "n_seeds")
    orders = list(dict.fromkeys(table["order"]))
    base = alt.Chart().encode(
        alt.Y("order:N", sort=orders, title=None, axis=alt.Axis(grid=True, tickBand="extent")),
        alt.YOffset("run:N", sort=list(hues)),
        style.colour(hues),
        opacity=style.picked(),
    )
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high"))
    dots = base.mark_point(filled=True, size=45).encode(
        alt.X("mean:Q", title="mean probability of the label", scale=alt.Scale(zero=False)),
        tooltip=style.tooltip("run", "order", "unit", "kind"),
    )
    panel = alt.layer(bars, dots).properties(width=330, height=len(orders) * (12 + 6 * len(hues)))
    data = style.data(table, "run", "order", "unit", "kind")
    head = alt.Header(labelFontSize=13, labelFontWeight=600)
    columns, rows = alt.Column("kind:N", title=None, header=head), alt.Row("unit:N", title=None, header=head)
    chart = panel.facet(column=columns, row=rows, data=data).add_params(style.pick())
    caption = (
        "The mean probability of the label while bands or coefficients are deleted (a good order: low) or inserted (a "
        "good order: high), in the order a measure gives. The last four know nothing of the network: an order that "
        "does not beat energy and low_to_high has explained nothing. "
    )
    return style.styled(chart, caption + style.made(table))


def specification(table: pd.DataFrame, signs: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """The specification curve: the contrast under every combination of choices, sorted, with its interval."""
    style.require(table, "multiverse", "run", "reference", "statistic", "mean", "low", "high", "n_images", "n_seeds")
    rows = table.dropna(subset=["mean"]).copy()
    rows["rank"] = rows.groupby(["run", "statistic"])["mean"].rank(method="first").astype(int)
    choices = ["basis", "shape", "baseline", "score", "clip", "normalisation"]
    base = alt.Chart().encode(
        alt.X("rank:Q", title="choices, sorted", axis=alt.Axis(grid=False)), style.colour(hues), opacity=style.picked()
    )
    bars = base.mark_rule().encode(alt.Y("low:Q", title="run - reference"), alt.Y2("high"), opacity=style.picked(0.25))
    dots = base.mark_point(filled=True, size=14).encode(
        alt.Y("mean:Q"), tooltip=style.tooltip("run", "statistic", *choices)
    )
    zero = alt.Chart().mark_rule(color="#9aa3ab").encode(alt.Y(datum=0))
    panel = alt.layer(bars, zero, dots).properties(width=400, height=240)
    data = style.data(rows, "run", "statistic", "rank", *choices)
    facet = alt.Facet("statistic:N", title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    chart = panel.facet(facet, columns=2, data=data).resolve_scale(y="independent").add_params(style.pick())
    agreed = "; ".join(
        f"{row.run}, {row.statistic}: {row.same_sign:.0%} of {row.n_choices} choices have one sign, {row.sure:.0%} an "
        "interval without zero"
        for row in signs.itertuples()
    )
    reference = " / ".join(dict.fromkeys(table["reference"]))
    caption = f"Each run less {reference} under every combination of choices; the pointer names them. {agreed}. "
    return style.styled(chart, caption + style.made(table))
