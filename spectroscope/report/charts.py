"""Charts that several chapters share: a table in, a Vega-Lite chart out.

A run has one colour in every chart (`run_colours`). The data of a chart are rows of its table, in their order, to the
six digits tables are written with; a finished chart carries its caption as description (`style.styled`).
"""

import math
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from spectroscope.report import style
from spectroscope.report.style import RunColours, highlighted

SUMMARY = ("mean", "low", "high")
# The place of everything beside a text depends on its width. vl-convert contains the first of these fonts and measures
# in it; the fonts of a page (style.FONT) it would take from the machine.
PICTURE_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def inline(table: pd.DataFrame, *axes: str, values: tuple[str, ...] = SUMMARY) -> alt.InlineData:
    """Columns of a table as CSV inside the chart, half the size of JSON; a missing number is null."""
    numbers = [name for name in (*axes, *values) if pd.api.types.is_numeric_dtype(table[name])]
    content = table[[*axes, *values]].to_csv(index=False, float_format="%.6g")
    return alt.InlineData(values=content, format=alt.CsvDataFormat(type="csv", parse=dict.fromkeys(numbers, "number")))


def rule(channel: Any, at: float, colour: str = style.AXIS) -> alt.Chart:
    """A line at a value of the axis, such as chance."""
    return alt.Chart(alt.Data(values=[{"at": at}])).mark_rule(color=colour).encode(channel("at:Q"))


def zero_line(channel: Any = alt.Y, colour: str = style.AXIS) -> alt.Chart:
    """A line at zero."""
    return rule(channel, 0, colour)


def curves(
    base: alt.Chart, y: alt.Y, tooltip: list[Any], *line_channels: Any, points: int = 0, zero: bool = False
) -> alt.LayerChart:
    """A line of means over the area of its intervals, one for each run.

    `base` encodes x and the run's colour; `points`: size of the marks on the line; `zero`: with a rule at zero.
    """
    low = alt.Y("low:Q", title=None) if y["title"] is None else alt.Y("low:Q")  # else the axis is titled `low`
    band = base.transform_filter("isValid(datum.low)").mark_area()
    band = band.encode(low, alt.Y2("high"), opacity=highlighted(0.18))
    marks = {"point": alt.OverlayMarkDef(size=points)} if points else {}
    line = base.mark_line(strokeWidth=2, **marks).encode(y, *line_channels, opacity=highlighted(), tooltip=tooltip)
    return alt.layer(band, *([zero_line()] if zero else []), line)  # the first layer has the legend to click in


def dots(
    base: alt.Chart, mean: alt.X | alt.Y, tooltip: list[Any], size: int = 60, fill: Any = alt.Undefined
) -> tuple[alt.Chart, alt.Chart]:
    """Bars from low to high and dots at the mean, along the axis of `mean`; `fill`: of dots that are not all filled."""
    low, high = (alt.X("low:Q"), alt.X2("high")) if isinstance(mean, alt.X) else (alt.Y("low:Q"), alt.Y2("high"))
    bars = base.mark_rule(strokeWidth=2).encode(low, high)
    filled = fill is alt.Undefined
    marks = base.mark_point(size=size, strokeWidth=2, filled=filled, opacity=1).encode(mean, tooltip=tooltip)
    return bars, marks if filled else marks.encode(fill=fill)


def run_dots(base: alt.Chart, column: str, rows: list[str], run_colours: RunColours) -> alt.Chart:
    """`base` with a row for each value of `column`, and in it a place and a colour for each run."""
    return base.encode(
        alt.Y(f"{column}:N", sort=rows, title=None, axis=alt.Axis(labelFontSize=12, grid=True, tickBand="extent")),
        alt.YOffset("run:N", sort=list(run_colours), scale=alt.Scale(paddingOuter=0.9)),
        style.run_colour(run_colours),
        opacity=highlighted(),
    )


def dots_by_row(table: pd.DataFrame, run_colours: RunColours, column: str, x: alt.X, width: int) -> alt.LayerChart:
    """Shares with their intervals: a row for each value of `column`, in it one dot for each run."""
    rows = list(dict.fromkeys(table[column]))
    base = run_dots(alt.Chart(inline(table, "run", column)), column, rows, run_colours)
    chart = alt.layer(*dots(base, x, style.tooltip("run", column, share=True)))
    return chart.properties(width=width, height=row_height(rows, run_colours))


def row_height(rows: list[str], run_colours: RunColours) -> int:
    """Height of a chart of `run_dots`."""
    return len(rows) * (18 + 9 * len(run_colours))


def matrix(base: alt.Chart, colour: alt.Color, form: str, font_size: int, text: Any = style.INK) -> alt.LayerChart:
    """Cells coloured by their mean, with the number in each; `text`: the numbers' colour."""
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(colour)
    numbers = base.transform_filter("isValid(datum.mean)").mark_text(fontSize=font_size)
    numbers = numbers.encode(alt.Text("mean:Q", format=form))
    return alt.layer(cells, numbers.encode(color=text if isinstance(text, dict) else alt.value(text)))


def share_matrix(base: alt.Chart, title: str, form: str, font_size: int) -> alt.LayerChart:
    """A matrix of shares, from 0 to 1."""
    scale = alt.Scale(domain=[0, 1], range=list(style.SEQUENTIAL), interpolate="rgb")
    colour = alt.Color("mean:Q", scale=scale, legend=alt.Legend(title=title, format=".0%", orient="right"))
    light = alt.condition("datum.mean > 0.55", alt.value("white"), alt.value(style.INK))
    return matrix(base, colour, form, font_size, light)


def panels(
    panel: Any, rows: pd.DataFrame, column: str, axes: tuple[str, ...], columns: int, values: tuple[str, ...] = SUMMARY
) -> alt.FacetChart:
    """A panel for each value of `column`, `columns` in a row; it shows the columns `axes` and `values` of its rows."""
    header = alt.Header(labelFontSize=13, labelFontWeight=600)
    facet = alt.Facet(f"{column}:N", sort=list(dict.fromkeys(rows[column])), title=None, header=header)
    return panel.facet(facet, columns=columns, data=inline(rows, column, *axes, values=values))


def even_columns(n_panels: int, most: int = 3) -> int:
    """Panels in a row, at most `most`, so that rows are equally long."""
    return math.ceil(n_panels / math.ceil(n_panels / most))


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as an SVG picture, drawn without a browser, in a font that gives the same bytes on every machine."""
    spec = chart.to_dict()
    return vl_convert.vegalite_to_svg({**spec, "config": {**spec.get("config", {}), "font": PICTURE_FONT}})
