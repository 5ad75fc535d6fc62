"""Loss and held-out accuracy after each epoch of training."""

import math

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["training"]
CURVES = {
    "loss": ("training loss", ".2"),
    "clean": ("held-out accuracy", ".0%"),
    "robust": ("held-out accuracy, attacked", ".0%"),
}
CAPTION = (
    "Training loss (not comparable between regimes), then accuracy on held-out images: clean, and under the validation "
    "attack, too weak to tell what a run withstands; the grey line is chance. Look for curves that still rise at the "
    "end (trained too briefly), fall (overfitting), or, attacked, drop at once (catastrophic overfitting). "
)


def blocks(results: Results) -> page.Blocks:
    return (page.chart(training(results.tables["training"], results.run_colours, results.chance)),)


def training(table: pd.DataFrame, run_colours: RunColours, chance: float) -> alt.TopLevelMixin:
    """One line for each network in each of three panels; a line at chance in those of accuracy."""
    epochs = sorted(table["epoch"].unique().tolist())
    ticks = alt.Axis(values=epochs[:: math.ceil(len(epochs) / 10)], format="d", grid=False)
    numbers = [alt.Tooltip(f"{name}:Q", format=".3g") for name in CURVES]
    base = (
        alt.Chart(charts.inline(table, "run", "seed", "epoch", values=tuple(CURVES)))
        .mark_line(strokeWidth=1.4, point=alt.OverlayMarkDef(size=14))
        .encode(
            alt.X("epoch:Q", scale=alt.Scale(nice=False), axis=ticks),
            style.run_colour(run_colours),
            alt.Detail("seed:N"),
            opacity=style.highlighted(0.75),
            tooltip=["run:N", "seed:N", "epoch:Q", *numbers],
        )
    )
    panels = [
        base.encode(alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format=form)))
        .transform_filter(f"isValid(datum.{name})")
        .properties(width=262, height=210)
        for name, (title, form) in CURVES.items()
    ]
    accuracies = [alt.layer(panel, charts.rule(alt.Y, chance)) for panel in panels[1:]]
    chart = alt.hconcat(panels[0].add_params(style.highlight()), *accuracies, spacing=24)
    seeds = words.count(table["seed"].nunique(), "network")
    return style.styled(chart, f"{CAPTION}One line for each network ({seeds} a run); no interval.")
