"""Probes of each network by band: margins, learned masks, counterparts of its representation, and its layers."""

import altair as alt
import numpy as np
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["probing"]
MARGINS = (
    "Margins: the norm of the smallest perturbation found inside one band that changes the class, an upper bound. The "
    "lower a dot, the more cheaply the run is fooled there. No dot: no such perturbation for half of the images of one "
    "network, or no image that the run has right. A small margin does not say that the run uses the band on clean "
    "images. "
)
MASKS = (
    "Masks on the spectrum, pushed to 0 wherever nothing is lost: what a run needs to keep its loss (network), an "
    "image to be right (essential), an adversary to fool (adversarial). High: needed; low: dispensable, though other "
    "coefficients may have taken its place. A network has one mask: its interval is over networks alone, and a run of "
    "one network has none. "
)
COUNTERPARTS = (
    "Counterparts (Wang et al. 2020, Eq. 9): an image of another class is changed until a run's representation of it "
    "equals that of the image. Below zero the representation holds the shell; at zero it is blind to it; above zero "
    "the search added what is in neither image. A search that ends far from its goal says little. Distance left, on "
    "average: "
)
SHOWN_LAYERS = 6
LAYERS = {  # statistic: the title of its axis, and what it is
    "passed": (
        "passed on",
        "Which bands reach a layer: what its features change by when the band is removed from the image, as a share of "
        "what they change by without everything above DC, over the band's share of the image's energy. ",
    ),
    "relative": (
        "relative spectrum",
        "What a layer's features hold in each band, relative to the image; a layer that is not linear makes "
        "frequencies that the image lacks, and a band above the layer's grid has no dot. ",
    ),
}
NULLS = (
    "1: as in the image. Dashed: the same network with its weights shuffled, which is the architecture's part; the "
    "network on images with shuffled pixels is in the table. "
)
NOT_USED = "It does not show that a later layer, or the answer, uses what a layer holds. "


def blocks(results: Results) -> page.Blocks:
    run_colours, tables = results.run_colours, results.tables
    content = (
        page.heading("Where are its margins small?"),
        page.chart(margins(tables["margins"], run_colours)),
        page.heading("Which bands does it need?"),
        page.chart(masks(tables["masks"], run_colours)),
        page.heading("Which bands does it represent?"),
        page.chart(counterparts(tables["counterparts"], run_colours)),
    )
    if tables["layers"].empty:
        return content
    drawn = [page.chart(layers(tables["layers"], statistic, run_colours)) for statistic in LAYERS]
    return (*content, page.heading("Which bands reach each layer?"), *drawn)


def margins(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Median norm of the smallest fooling perturbation inside each band, on a log scale."""
    table = table.replace({"mean": {np.inf: np.nan}})  # an infinite median has no place on the axis
    base = (
        alt.Chart(charts.inline(_positive(table), "run", "band", "unreached"))
        .transform_filter("isValid(datum.mean)")
        .encode(
            alt.X("band:O", title="band (0 = DC)", axis=alt.Axis(labelAngle=0)),
            alt.XOffset("run:N", sort=list(run_colours), scale=alt.Scale(paddingOuter=0.6)),
            style.run_colour(run_colours),
            opacity=style.highlighted(),
        )
    )
    y = alt.Y("mean:Q", title="median l2 norm", scale=alt.Scale(type="log"))
    tooltip = [*style.tooltip("run", "band"), alt.Tooltip("unreached:Q", format=".1%")]
    chart = alt.layer(*charts.dots(base, y, tooltip)).properties(width=840, height=260)
    caption = f"{MARGINS}Lowest dot, band: {words.peaks(table, 'band', lowest=True)}. {words.sample_note(table)}"
    return style.styled(chart.add_params(style.highlight()), caption)


def _positive(table: pd.DataFrame) -> pd.DataFrame:
    """The table without ends that a logarithmic axis cannot show."""
    ends = ["mean", "low", "high"]
    return table.assign(**table[ends].where((table[ends] > 0) & (table[ends] < float("inf"))))


def masks(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Mean of the learned masks in each shell, one panel for each kind of mask."""
    base = alt.Chart().encode(style.shell_axis(), style.run_colour(run_colours))
    curves = charts.curves(base, alt.Y("mean:Q", title="mean of the mask"), style.tooltip("run", "mask", "shell"))
    empty = alt.Chart().transform_aggregate(with_mean="valid(mean)").transform_filter("datum.with_mean == 0")
    empty = empty.mark_text(color=style.INK).encode(x=alt.value(131), y=alt.value(105), text=alt.value("no data"))
    panel = alt.layer(curves, empty).properties(width=262, height=210)
    chart = charts.panels(panel, table, "mask", ("run", "shell"), 3)
    rows = table[table["mask"] == "network"]
    here = f"Highest mean of the mask of a network, shell: {words.peaks(rows, 'shell')}. "
    return style.styled(chart.add_params(style.highlight()), MASKS + here + words.sample_note(table))


def counterparts(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """What remains of the difference between start and image once their representations match, by shell."""
    rows = table[table["statistic"] == "remaining"]
    base = alt.Chart(charts.inline(rows, "run", "shell")).encode(style.shell_axis(), style.run_colour(run_colours))
    chart = charts.curves(base, alt.Y("mean:Q", title="log of what remains"), style.tooltip("run", "shell"), zero=True)
    chart = chart.properties(width=840, height=260).add_params(style.highlight())
    left = ", ".join(f"{row.run} {row.mean:.0%}" for row in table[table["statistic"] == "left"].itertuples())
    held = f"Best held shell: {words.peaks(rows, 'shell', lowest=True)}. "
    return style.styled(chart, f"{COUNTERPARTS}{left}. {held}{words.sample_note(rows)}")


def layers(table: pd.DataFrame, statistic: str, run_colours: RunColours) -> alt.TopLevelMixin:
    """A statistic of LAYERS by band, a panel for each of some layers from first to last, over its shuffled null."""
    title, caption = LAYERS[statistic]
    table = table[table["statistic"] == statistic]
    rows, n_layers = _some_layers(table)
    base = alt.Chart().encode(
        alt.X("cycles:Q", title="cycles per image side", scale=alt.Scale(type="log", nice=False)),
        style.run_colour(run_colours),
    )
    y = alt.Y("mean:Q", title=title, scale=alt.Scale(type="symlog", constant=0.1))
    own = base.transform_filter("datum.network == 'network'")
    tooltip = style.tooltip("run", "layer", "network", "band")
    null = base.transform_filter("datum.network == 'random weights'").mark_line(strokeDash=[4, 3], strokeWidth=1.2)
    null = null.encode(y, opacity=style.highlighted(0.7), tooltip=tooltip)
    panel = alt.layer(charts.curves(own, y, tooltip, points=14), null).properties(width=250, height=150)
    chart = charts.panels(panel, rows, "panel", ("run", "layer", "network", "band", "cycles"), 3)
    here = "; ".join(_of_the_last(table[table["run"] == run], run) for run in dict.fromkeys(table["run"]))
    last = f"Highest band in the last layer: {here}. "
    shown = f"{rows['panel'].nunique()} of {n_layers} layers, first to last; all are in `layers.csv`. "
    text = f"{caption}{NULLS}{last}{NOT_USED}{shown}{words.sample_note(rows)}"
    return style.styled(chart.add_params(style.highlight()), text)


def _some_layers(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Rows of SHOWN_LAYERS layers of each run, evenly from first to last, and how many layers the runs have.

    panel: the layer's name, or its depth where the runs have other layers.
    """
    names = {run: list(dict.fromkeys(rows["layer"])) for run, rows in table.groupby("run", sort=False)}
    alike, parts = len({tuple(each) for each in names.values()}) == 1, []
    for run, layer in names.items():
        for depth in np.linspace(0, 1, SHOWN_LAYERS):
            name = layer[round(depth * (len(layer) - 1))]
            rows = table[(table["run"] == run) & (table["layer"] == name)]
            parts.append(rows.assign(panel=name if alike else f"depth {depth:.0%}"))
    counts = sorted({len(each) for each in names.values()})
    rows = pd.concat(parts).drop_duplicates(["run", "panel", "network", "band"])
    return rows[rows["network"] != "shuffled pixels"], " to ".join(map(str, counts[:: max(1, len(counts) - 1)]))


def _of_the_last(table: pd.DataFrame, run: str) -> str:
    """`standard 0.41 (weights shuffled 1.20)`: the highest band of a run's last layer."""
    rows = table[table["layer"] == table["layer"].iloc[-1]]
    highest = rows[rows["band"] == rows.loc[rows["network"] == "network", "band"].max()].set_index("network")["mean"]
    own, null = (f"{highest[name]:.2f}" if name in highest else "-" for name in ("network", "random weights"))
    return f"{run} {own} (weights shuffled {null})"
