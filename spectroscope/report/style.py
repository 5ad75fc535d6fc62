"""How charts and pictures look: colours, and the parts of a Vega-Lite chart that all of them share.

A run has one colour wherever it is drawn or named, and a click on it in a legend singles it out.
"""

from typing import Any

import altair as alt
import pandas as pd

# Okabe and Ito's colours, which the common forms of colour blindness keep apart; yellow, unreadable on white, is grey.
# From the ninth on others of Tol's muted ones, which then need the click in the legend more often.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#8a8a8a")
PALETTE = (*OKABE_ITO, "#882255", "#999933", "#332288", "#aa4499")
SEQUENTIAL = ("#f7fafc", "#bcd9ec", "#5aa5d1", "#0072b2", "#062b4f")
DIVERGING = ("#0072b2", "#8dc0de", "#f7f7f5", "#f0a878", "#b34700")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT = "#333a41", "#e3e7ea"


def colours(runs: list[str]) -> dict[str, str]:
    """One colour for each run, in the order given; ValueError beyond the twelve that can be told apart."""
    if len(runs) > len(PALETTE):
        raise ValueError(f"expected at most {len(PALETTE)} runs, one colour each, got {len(runs)}")
    return dict(zip(runs, PALETTE, strict=False))


def shells(title: str) -> alt.X:
    """The axis of shells: a tick is a whole shell."""
    return alt.X("shell:Q", title=title, scale=alt.Scale(nice=False), axis=alt.Axis(tickMinStep=1, grid=False))


def colour(hues: dict[str, str], channel: Any = alt.Color) -> Any:
    """The colour of a run, with the legend of all runs."""
    scale = alt.Scale(domain=list(hues), range=list(hues.values()))
    return channel("run:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolOpacity=1))


def pick() -> alt.Parameter:
    """The run chosen by a click in the legend."""
    return alt.selection_point(name="pick", fields=["run"], bind="legend")


def picked(shown: float = 1.0) -> Any:
    """Opacity `shown` for the chosen run or while there is none, nearly none for the others."""
    return alt.condition({"param": "pick", "empty": True}, alt.value(shown), alt.value(0.15 * shown))


def tooltip(*names: str, share: bool = False) -> list[alt.Tooltip]:
    """What the pointer shows: `names`, then mean and interval."""
    form = ".1%" if share else ".3f"
    return [alt.Tooltip(f"{name}:N") for name in names] + [
        alt.Tooltip(f"{name}:Q", format=form) for name in ("mean", "low", "high")
    ]


def data(table: pd.DataFrame, *axes: str, values: tuple[str, ...] = ("mean", "low", "high")) -> alt.InlineData:
    """Rows as CSV inside the chart, half the size of JSON; a missing number is null."""
    numbers = [name for name in (*axes, *values) if pd.api.types.is_numeric_dtype(table[name])]
    content = table[[*axes, *values]].to_csv(index=False, float_format="%.6g")
    return alt.InlineData(values=content, format=alt.CsvDataFormat(type="csv", parse=dict.fromkeys(numbers, "number")))


def require(table: pd.DataFrame, name: str, *columns: str) -> None:
    """ValueError naming the table when it is empty or lacks one of the columns."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{name}: expected column {', '.join(missing)}, got {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{name}: expected at least one row, got an empty table")


def styled(chart: alt.TopLevelMixin, caption: str) -> alt.TopLevelMixin:
    """The chart with its caption as description, and the fonts, axes and legends of all charts."""
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return chart.properties(description=caption, background="transparent").configure(
        font=FONT,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(**text, gridColor=FAINT, domainColor="#9aa3ab", tickColor="#9aa3ab", titlePadding=8),
        legend=alt.LegendConfig(labelFontSize=12, labelColor=INK, titleFontWeight="normal", titleColor=INK),
        title=alt.TitleConfig(fontSize=13, fontWeight=600, color=INK, anchor="start", frame="group", offset=8),
    )


def made(table: pd.DataFrame, what: str = "test images") -> str:
    """What the numbers of a table rest on, for its caption."""

    def span(column: str) -> str:
        low, high = int(table[column].min()), int(table[column].max())
        return f"{low:,}" if low == high else f"{low:,} to {high:,}"

    basis = f"n\u00a0=\u00a0{span('n_images')} {what}, {span('n_seeds')} seeds"
    return f"{basis}; bootstrap intervals over seeds and images."
