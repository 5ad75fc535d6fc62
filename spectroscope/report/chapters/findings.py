"""Differences of every run from the reference run."""

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["findings"]
ONE_RUN = "The study has one run, so there is nothing to compare it with."
PANELS = {  # title and format of the axis, and the statistics of the panel: accuracies have the names of attacks
    "accuracy": ("accuracy", "+.0%"),
    "share": ("high-frequency share", "+.0%"),
    "amount": ("probability lost without low, middle or high shells", "+.0%"),
    "centroid": ("centroid in shells", "+.2~f"),
}
CAPTION = (
    "Difference of each run from its reference on the same images: a filled dot has an interval without zero, a hollow "
    "one an interval that includes zero; a hollow dot is inconclusive. "
)
LIMIT = "A filled dot is a difference between these runs; what causes it, another run must show. "


def blocks(results: Results) -> page.Blocks:
    table = results.tables["contrasts"]
    return (page.chart(contrasts(table, results.run_colours)) if len(table) else page.prose(ONE_RUN),)


def contrasts(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Differences run - reference with intervals, a panel for each unit."""
    pairs = "run - " + " / ".join(dict.fromkeys(table["reference"]))
    units = table["statistic"].map(unit)
    panels = [
        _panel(rows, run_colours, alt.X("mean:Q", title=f"{pairs}: {title}", axis=alt.Axis(format=form, tickCount=8)))
        for name, (title, form) in PANELS.items()
        if len(rows := table[units == name])
    ]
    chart = alt.vconcat(panels[0].add_params(style.highlight()), *panels[1:], spacing=18)
    sure = int(((table["low"] > 0) | (table["high"] < 0)).sum())
    counted = f"{sure} of {words.count(len(table), 'difference')} have an interval without zero; intervals are not "
    caption = f"{CAPTION}{counted}corrected for their number. {LIMIT}{words.sample_note(table)}"
    return style.styled(chart, caption)


def unit(statistic: str) -> str:
    """The panel of PANELS that a statistic belongs to."""
    name = statistic.split(" by ")[0]
    if name == "centroid":
        return name
    return "share" if name == "hf_share" else "amount" if " by " in statistic else "accuracy"


def _panel(rows: pd.DataFrame, run_colours: RunColours, x: alt.X) -> alt.LayerChart:
    statistics = list(dict.fromkeys(rows["statistic"]))
    base = alt.Chart(charts.inline(rows, "run", "reference", "statistic"))
    compared = [run for run in run_colours if run in set(rows["run"])]
    base = charts.run_dots(base, "statistic", statistics, run_colours)
    base = base.encode(style.run_colour(run_colours, listed=compared))
    filled = style.run_colour(run_colours, alt.Fill, compared)
    sure = alt.condition("datum.low > 0 || datum.high < 0", filled, alt.value("white"))
    tooltip = style.tooltip("run", "reference", "statistic", share=unit(statistics[0]) != "centroid")
    bars, dots = charts.dots(base, x, tooltip, fill=sure)
    chart = alt.layer(bars, charts.zero_line(alt.X, style.INK), dots)
    return chart.properties(width=840, height=charts.row_height(statistics, run_colours))
