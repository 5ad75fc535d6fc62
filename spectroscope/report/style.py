"""Look of every chart: one colour for each run, axes, fonts, tooltips, the click in a legend that highlights a run."""

from typing import Any

import altair as alt

# Okabe and Ito's colours, which the common forms of colour blindness keep apart; yellow, unreadable on white, is grey.
# From the ninth on others of Tol's muted ones, which then need the click in the legend more often.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#8a8a8a")
PALETTE = (*OKABE_ITO, "#882255", "#999933", "#332288", "#aa4499")
SEQUENTIAL = ("#f7fafc", "#bcd9ec", "#5aa5d1", "#0072b2", "#062b4f")
DIVERGING = ("#0072b2", "#8dc0de", "#f7f7f5", "#f0a878", "#b34700")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT, AXIS = "#333a41", "#e3e7ea", "#9aa3ab"

RunColours = dict[str, str]


def assign_colours(runs: list[str]) -> RunColours:
    """One colour for each run, in the order given; ValueError beyond the twelve colours that can be told apart."""
    if len(runs) > len(PALETTE):
        raise ValueError(f"expected at most {len(PALETTE)} runs, one colour each, got {len(runs)}")
    return dict(zip(runs, PALETTE, strict=False))


def run_colour(run_colours: RunColours, channel: Any = alt.Color, listed: list[str] | None = None) -> Any:
    """Colour by run, with a legend of the runs `listed` (None: every run)."""
    scale = alt.Scale(domain=list(run_colours), range=list(run_colours.values()))
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, values=listed or list(run_colours))
    return channel("run:N", scale=scale, legend=legend)


def highlight() -> alt.Parameter:
    """The run clicked in the legend."""
    return alt.selection_point(name="highlight", fields=["run"], bind="legend")


def highlighted(opacity: float = 1.0) -> Any:
    """`opacity` for the highlighted run, or for all while none is; 15 % of it for the others."""
    return alt.condition({"param": "highlight", "empty": True}, alt.value(opacity), alt.value(0.15 * opacity))


def shell_axis(title: str = "shell (0 = DC)") -> alt.X:
    """Horizontal axis of shells, with ticks at whole shells."""
    return alt.X("shell:Q", title=title, scale=alt.Scale(nice=False), axis=alt.Axis(tickMinStep=1, grid=False))


def axis(channel: Any, title: str | None, form: str, ticks: int) -> Any:
    """Axis of the means, numbers in the d3 format `form`, about `ticks` of them."""
    return channel("mean:Q", title=title, axis=alt.Axis(format=form, tickCount=ticks))


def tooltip(*names: str, share: bool = False) -> list[alt.Tooltip]:
    """What the pointer shows of a row: its `names`, then mean and interval."""
    form = ".1%" if share else ".3f"
    numbers = [alt.Tooltip(f"{name}:Q", format=form) for name in ("mean", "low", "high")]
    return [alt.Tooltip(f"{name}:N") for name in names] + numbers


def styled(chart: alt.TopLevelMixin, caption: str) -> alt.TopLevelMixin:
    """The chart with its caption as description, and with the fonts, axes and legends that all charts share."""
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return chart.properties(description=caption, background="transparent").configure(
        font=FONT,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(**text, gridColor=FAINT, domainColor=AXIS, tickColor=AXIS, titlePadding=8),
        legend=alt.LegendConfig(labelFontSize=12, labelColor=INK, titleFontWeight="normal", titleColor=INK),
        title=alt.TitleConfig(fontSize=13, fontWeight=600, color=INK, anchor="start", frame="group", offset=8),
    )
