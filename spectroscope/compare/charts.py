"""Charts of a comparison: a run in each, a colour for each revision."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from spectroscope.compare.revisions import Revision
from spectroscope.report import charts, style, words
from spectroscope.report.chapters.attribution import HEADLINE
from spectroscope.report.style import highlighted


def curves(run: str, revisions: Sequence[Revision]) -> alt.TopLevelMixin | None:
    """Occluded Frequency of one run above DC, a curve for each revision; None where no revision has one."""
    tables = {revision.name: revision.tables["occluded_frequency"] for revision in revisions}
    rows = _stacked(
        {
            name: table[(table["run"] == run) & (table["score"] == HEADLINE) & (table["shell"] > 0)]
            for name, table in tables.items()
        }
    )
    if rows.empty:
        return None
    axis = style.shell_axis("shell above DC")
    base = alt.Chart(charts.inline(rows, "revision", "shell")).encode(axis, _colour(revisions))
    y = alt.Y("mean:Q", title="probability lost")
    chart = charts.curves(base, y, style.tooltip("revision", "shell"), points=14, zero=True)
    guessing = ", ".join(dict.fromkeys(rows.loc[rows["at_chance"].astype(bool), "revision"]))
    caption = f"Most is lost without shell: {words.peaks(rows.assign(run=rows['revision']), 'shell')}. "
    caption += f"At chance, so that the curve means nothing: {guessing}. " if guessing else ""
    return _styled(chart.properties(width=225, height=190), run, caption + words.sample_note(rows))


def accuracies(run: str, revisions: Sequence[Revision]) -> alt.TopLevelMixin | None:
    """Accuracy of one run without and under each attack, noise left out: a dot for each revision."""
    rows = _stacked({revision.name: _attacked(run, revision) for revision in revisions})
    if rows.empty:
        return None
    attacks, names = list(dict.fromkeys(rows["attack"])), [revision.name for revision in revisions]
    base = alt.Chart(charts.inline(rows, "revision", "attack")).encode(
        alt.Y("attack:N", sort=attacks, title=None, axis=alt.Axis(grid=True, tickBand="extent")),
        alt.YOffset("revision:N", sort=names, scale=alt.Scale(paddingOuter=0.9)),
        _colour(revisions),
        opacity=highlighted(),
    )
    x = style.axis(alt.X, "accuracy", ".0%", 5).scale(domain=[0, 1])
    chart = alt.layer(*charts.dots(base, x, style.tooltip("revision", "attack", share=True), size=45))
    chart = chart.properties(width=180, height=len(attacks) * (12 + 9 * len(names)))
    return _styled(chart, run, words.sample_note(rows))


def _attacked(run: str, revision: Revision) -> pd.DataFrame:
    noise = {name for name, attack in revision.settings["attacks"].items() if attack["method"] == "noise"}
    rows = revision.tables["accuracy"]
    return rows[(rows["run"] == run) & ~rows["attack"].str.split(" ").str[0].isin(noise)]


def _stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table.assign(revision=name) for name, table in tables.items()], ignore_index=True)


def _colour(revisions: Sequence[Revision]) -> alt.Color:
    colours = style.assign_colours([revision.name for revision in revisions])
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("revision:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=2, symbolOpacity=1))


def _styled(chart: alt.LayerChart, run: str, caption: str) -> alt.TopLevelMixin:
    clicked = alt.selection_point(name="highlight", fields=["revision"], bind="legend")
    return style.styled(chart.properties(title=run).add_params(clicked), caption)
