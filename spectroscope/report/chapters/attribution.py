"""Reliance on each shell: Occluded Frequency curves, then every attribution method side by side and as a map."""

import altair as alt
import numpy as np
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, pictures, style, words
from spectroscope.report.pictures import Cell
from spectroscope.report.results import Results
from spectroscope.report.style import RunColours

QUESTION = QUESTIONS["attribution"]
MEAN = "mean over classes"
OCCLUDED_FREQUENCY = (
    "Occluded Frequency: how far the logit of the true class falls when one shell of the spectrum is set to zero: the "
    "higher, the more the run relies on it; below zero, the shell speaks against the class. Compare runs at one shell "
    "(higher shells hold more coefficients); logits of runs have no common unit. DC has its own scale. "
)
METHODS = (
    "Every method on the same images, bands and score, above DC; each panel has its own unit: compare shapes, not "
    "heights. Signed methods speak for the class above zero; squared gradients and heat maps say how sensitive the "
    "network is, not what its answer rests on. "
)
MAPS = (
    "Values of every coefficient or wave: mean over images and seeds, blue below and orange above zero. Fourier heat "
    "maps have DC in the centre, maps of coefficients at the top left. Each has its own scale, whose range stands "
    "below. "
)


def blocks(results: Results) -> page.Blocks:
    tables, run_colours = results.tables, results.run_colours
    curves = occluded_frequency(tables["occluded_frequency"], tables["class_occluded_frequency"], run_colours)
    side_by_side = methods(tables["methods"], run_colours)
    content = [page.chart(curves), page.heading("The methods side by side"), page.chart(side_by_side)]
    if any(len(rows) for rows in results.attribution_maps.values()):
        content.append(heat_maps(results.attribution_maps, tables["methods"], run_colours))
    return tuple(content)


def occluded_frequency(table: pd.DataFrame, classes: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Logit drop by shell (Wang et al. 2020, Fig. 1), DC apart, for the mean over classes or for one class."""
    names = [MEAN, *dict.fromkeys(map(str, classes["class"]))]
    rows = pd.concat([table.assign(**{"class": MEAN}), classes.astype({"class": str})])
    chosen = alt.param("shown", value=MEAN, bind=alt.binding_select(options=names, name="Class  "))
    source = alt.Chart(charts.inline(rows, "run", "class", "shell")).transform_filter(alt.datum["class"] == chosen)
    left = _dc(source, run_colours).properties(width=30 + 16 * len(run_colours), height=300)
    right = curves_above_dc(source, run_colours).properties(width=830 - 16 * len(run_colours), height=300)
    chart = alt.hconcat(left, right.add_params(style.highlight()), spacing=28).resolve_scale(y="independent")
    highest = words.peaks(table[table["shell"] > 0], "shell")
    caption = f"{OCCLUDED_FREQUENCY}Peak above DC, by shell: {highest}. {words.sample_note(table)}"
    return style.styled(chart.add_params(chosen), caption)


def curves_above_dc(source: alt.Chart, run_colours: RunColours) -> alt.LayerChart:
    """Occluded Frequency of the shells above DC."""
    axis = style.shell_axis("shell above DC (half cycles per image side)")
    base = source.transform_filter("datum.shell > 0").encode(axis, style.run_colour(run_colours))
    y = alt.Y("mean:Q", title="logit drop when the shell is removed")
    return charts.curves(base, y, style.tooltip("run", "class", "shell"), points=22, zero=True)


def _dc(source: alt.Chart, run_colours: RunColours) -> alt.LayerChart:
    """Occluded Frequency of DC, a dot for each run: it is often many times that of any other shell."""
    bare = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    base = source.transform_filter("datum.shell == 0").encode(
        alt.X("run:N", sort=list(run_colours), title="shell 0 (DC)", axis=bare), style.run_colour(run_colours)
    )
    y = alt.Y("mean:Q", title="logit drop when the shell is removed")
    return alt.layer(*charts.dots(base, y, style.tooltip("run", "class")))


def methods(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Every method over the mean frequency of the bands above DC, one panel each."""
    rows = table[table["band"] > 0]
    x = alt.X("position:Q", title="mean frequency (1: highest)", axis=alt.Axis(grid=False, tickCount=5))
    base = alt.Chart().encode(x, style.run_colour(run_colours))
    panel = charts.curves(base, alt.Y("mean:Q", title=None), style.tooltip("run", "method", "band"), points=18)
    chart = charts.panels(panel.properties(width=250, height=150), rows, "method", ("run", "band", "position"), 3)
    chart = chart.resolve_scale(y="independent").add_params(style.highlight())
    return style.styled(chart, METHODS + words.sample_note(table))


def heat_maps(maps: dict[str, pd.DataFrame], table: pd.DataFrame, run_colours: RunColours) -> page.Markup:
    """A picture for each method that has a map, one column for each run."""
    names = dict.fromkeys(name for rows in maps.values() if len(rows) for name in rows["method"])
    lines = [(name, [_heat_map(maps[run], name, run) for run in run_colours]) for name in names]
    return page.grid(list(run_colours), lines, f"{MAPS}{words.sample(table)}; no interval.", run_colours)


def _heat_map(maps: pd.DataFrame, method: str, run: str) -> Cell:
    mean = maps[maps["method"] == method].groupby(["u", "v"])["value"].mean().unstack().to_numpy(float)
    picture = pictures.picture(pictures.signed(mean), f"{method} of {run}")
    return Cell((picture,), f"{np.min(mean):.2g} to {np.max(mean):.2g}")
