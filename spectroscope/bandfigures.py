"""Figures of what attacks change and what bands hold: a written table in, a Vega-Lite chart out (as `figures`)."""

import math

import altair as alt
import pandas as pd

from spectroscope import style


def calibrated(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """z of the null-calibrated score in each shell, attack and control, one panel for each attack."""
    needed = ("run", "attack", "source", "shape", "shell", "z", "mean", "low", "high", "n_images", "n_seeds")
    style.require(table, "calibrated", *needed)
    rows = table[table["shape"] == table["shape"].iloc[0]]
    attacks = list(dict.fromkeys(rows["attack"]))
    dash = alt.StrokeDash(
        "source:N",
        scale=alt.Scale(domain=["attack", "control"], range=[[1, 0], [3, 3]]),
        legend=alt.Legend(title=None, orient="top", symbolStrokeColor=style.INK),
    )
    marks = alt.Axis(values=[-1000, -100, -10, -2, 2, 10, 100, 1000])
    line = (
        alt.Chart()
        .mark_line(strokeWidth=1.6)
        .encode(
            style.shells("shell (0 = DC)"),
            alt.Y("z:Q", title="z against noise", scale=alt.Scale(type="symlog", constant=2), axis=marks),
            style.colour(hues),
            dash,
            alt.Detail("source:N"),
            opacity=style.picked(),
            tooltip=[*style.tooltip("run", "attack", "source", "shell"), alt.Tooltip("z:Q", format=".1f")],
        )
    )
    columns = math.ceil(len(attacks) / math.ceil(len(attacks) / 3))  # rows of equal length
    facet = alt.Facet("attack:N", sort=attacks, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    data = style.data(rows, "run", "attack", "source", "shell", values=("z", "mean", "low", "high"))
    panel = line.properties(width=930 // columns - 40, height=190)
    chart = panel.facet(facet, columns=columns, data=data).resolve_axis(x="independent").add_params(style.pick())
    control = rows[rows["source"] == "control"]
    null = int(((control["low"] <= 0) & (control["high"] >= 0)).sum())
    caption = (
        "How far the change of a shell is from what norm-matched noise through the same clip changes, in standard "
        "deviations of noise against noise: above zero the attack strikes the shell, below it spares it. The pointer "
        "shows the score, the log ratio of root-mean-square changes, with its interval. Dashed: a further draw of "
        f"noise in place of the attack; {null} of its {len(control)} intervals include zero. "
    )
    return style.styled(chart, caption + style.made(rows, "perturbations that fooled"))
