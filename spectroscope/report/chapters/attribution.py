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
HEADLINE = "probability"  # the score of the first chart: one unit for all networks
DROPS = "probability of the label lost without the shell"
SHAPES = {"margin": "margin", "logit": "logit (paper mode)"}
CHANGES = {
    "without": "without the band",
    "equal_energy": "without as much energy elsewhere",
    "only": "with the band and DC alone",
}
OCCLUDED_FREQUENCY = (
    "Occluded Frequency: how far the probability of the true class falls when one shell of the spectrum is set to "
    "zero; below zero, it rises. DC has its own scale. "
)
WIDE = "Here shells are removed in bands: a point is a band of several, which stands at its mean shell. "
NOT_ALONE = (
    "It does not show what several shells are worth together, because one may stand in for another (higher shells also "
    "hold more coefficients): see the bands below. "
)
SHAPE_CURVES = (
    "The same by margin (the label's logit less the best other one), whose shape the centroid summarises, and by "
    "logit, as Wang et al. 2020 plot it. "
)
NO_HEIGHTS = (
    "Neither shows which run relies more on a shell, because logits and margins of two networks have no common unit: "
    "compare shapes. "
)
NEGATIVE = (
    "Where the curves above DC lie, and how much of them is negative (the network is surer without the shell). A "
    "centroid is that of the positive part; a star marks more than a tenth of negative mass, where it is no centre of "
    "reliance. "
)
NO_CAUSE = "The table does not show why a run relies on these shells. "
BAND_LOSS = (
    "Accuracy lost when all low, middle (from half of `hf_from`) or high shells (from `hf_from` on) are set to zero, "
    "beside the loss without other coefficients (above DC, drawn at random) that hold at most as much energy, and with "
    "the band and DC alone; below zero, accuracy rises. "
)
NO_TRAINING = (
    "It does not show what networks trained without the band would do: these images are unlike any that they saw. "
)
METHODS = (
    "Every method on the same images, bands and score, above DC, for the runs that are not at chance; each panel has "
    "its own unit: compare shapes, not heights. Signed methods speak for the class above zero; squared gradients and "
    "heat maps say how sensitive the network is, not what its answer rests on. "
)
MAPS = (
    "Values of every coefficient or wave: mean over images and seeds, blue below and orange above zero. Fourier heat "
    "maps have DC in the centre, maps of coefficients at the top left. Each has its own scale, whose range stands "
    "below. "
)


def blocks(results: Results) -> page.Blocks:
    tables, run_colours = results.tables, results.run_colours
    content = [
        page.chart(occluded_frequency(tables["occluded_frequency"], tables["class_occluded_frequency"], run_colours)),
        page.chart(shapes(tables["occluded_frequency"], run_colours)),
    ]
    if len(tables["reliance"]):
        content.append(page.table(*negative_parts(tables["reliance"], run_colours), run_colours))
    if len(tables["band_loss"]):
        content.append(page.chart(band_loss(tables["band_loss"], run_colours)))
    seen = {run: colour for run, colour in run_colours.items() if run not in results.at_chance}
    compared = tables["methods"][tables["methods"]["run"].isin(list(seen))]
    if len(compared):
        content += [page.heading("The methods side by side"), page.chart(methods(compared, run_colours))]
        maps = {run: rows for run, rows in results.attribution_maps.items() if run in seen}
        content += [heat_maps(maps, compared, seen)] if any(len(rows) for rows in maps.values()) else []
    return tuple(content)


def occluded_frequency(table: pd.DataFrame, classes: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Drop of the probability by shell, DC apart, for the mean over classes or for one class."""
    table, classes = (rows[rows["score"] == HEADLINE] for rows in (table, classes))
    names = [MEAN, *dict.fromkeys(classes["class"])]
    rows = pd.concat([table.assign(**{"class": MEAN}), classes])
    chosen = alt.param("shown", value=MEAN, bind=alt.binding_select(options=names, name="Class  "))
    source = alt.Chart(charts.inline(rows, "run", "class", "shell")).transform_filter(alt.datum["class"] == chosen)
    left = _dc(source, run_colours).properties(width=30 + 16 * len(run_colours), height=300)
    right = curves_above_dc(source, run_colours).properties(width=830 - 16 * len(run_colours), height=300)
    chart = alt.hconcat(left, right.add_params(style.highlight()), spacing=28).resolve_scale(y="independent")
    highest = f"Most is lost, above DC, without shell: {words.peaks(table[table['shell'] > 0], 'shell')}. "
    guessing = ", ".join(dict.fromkeys(table.loc[table["at_chance"].astype(bool), "run"]))
    guesses = f"At chance on clean images, so that their curves mean nothing: {guessing}. " if guessing else ""
    caption = f"{OCCLUDED_FREQUENCY}{_wide(table)}{highest}{NOT_ALONE}{guesses}{words.sample_note(table)}"
    return style.styled(chart.add_params(chosen), caption)


def _wide(table: pd.DataFrame) -> str:
    """WIDE where a band of the curves has more than one shell."""
    shells = table["shell"].unique()
    return "" if (shells == np.arange(len(shells))).all() else WIDE


def curves_above_dc(source: alt.Chart, run_colours: RunColours) -> alt.LayerChart:
    """Occluded Frequency of the shells above DC."""
    axis = style.shell_axis("shell above DC (half cycles per image side)")
    base = source.transform_filter("datum.shell > 0").encode(axis, style.run_colour(run_colours))
    y = alt.Y("mean:Q", title=DROPS)
    return charts.curves(base, y, style.tooltip("run", "class", "shell"), points=22, zero=True)


def _dc(source: alt.Chart, run_colours: RunColours) -> alt.LayerChart:
    """Occluded Frequency of DC, a dot for each run: it is often many times that of any other shell."""
    bare = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    base = source.transform_filter("datum.shell == 0").encode(
        alt.X("run:N", sort=list(run_colours), title="shell 0 (DC)", axis=bare), style.run_colour(run_colours)
    )
    return alt.layer(*charts.dots(base, alt.Y("mean:Q", title=DROPS), style.tooltip("run", "class")))


def shapes(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Drops by shell above DC of the margin, and of the logit (Wang et al. 2020, Fig. 1), a panel each."""
    rows = table[table["score"].isin(SHAPES) & (table["shell"] > 0)].assign(drop=table["score"].map(SHAPES))
    axis = style.shell_axis("shell above DC (half cycles per image side)")
    base = alt.Chart().encode(axis, style.run_colour(run_colours))
    tooltip = style.tooltip("run", "drop", "shell")
    panel = charts.curves(base, alt.Y("mean:Q", title="drop without the shell"), tooltip, points=18, zero=True)
    chart = charts.panels(panel.properties(width=400, height=220), rows, "drop", ("run", "shell"), 2)
    chart = chart.resolve_scale(y="independent").add_params(style.highlight())
    highest = "; ".join(f"{name}: {words.peaks(part, 'shell')}" for name, part in rows.groupby("drop", sort=False))
    caption = f"{SHAPE_CURVES}{_wide(table)}Highest shell by {highest}. {NO_HEIGHTS}{words.sample_note(rows)}"
    return style.styled(chart, caption)


def negative_parts(table: pd.DataFrame, run_colours: RunColours) -> tuple[pd.DataFrame, str]:
    """Centroids and negative parts in rows, runs in columns; and the caption."""
    lines = []
    for score, statistic, name in [
        ("margin", "centroid", "centroid by margin (shell)"),
        ("margin", "centroid_abs", "centroid of absolute values by margin (shell)"),
        *((score, "negative_share", f"negative part by {score}") for score in ("margin", "probability", "logit")),
    ]:
        rows = table[(table["score"] == score) & (table["statistic"] == statistic)].set_index("run")
        numbers = [_cell(rows.loc[run], statistic) if run in rows.index else "-" for run in run_colours]
        lines.append((name, *numbers))
    by_margin = table[(table["score"] == "margin") & (table["statistic"] == "centroid")]
    marked = by_margin.loc[by_margin["marked"].astype(bool), "run"].tolist()
    found = f"Marked: {', '.join(marked)}. " if marked else "No run is marked. "
    frame = pd.DataFrame(lines, columns=["", *run_colours])
    return frame, f"{NEGATIVE}{found}{NO_CAUSE}{words.sample_note(by_margin)}"


def _cell(row: pd.Series, statistic: str) -> str:
    share = statistic == "negative_share"
    text = words.number(row["mean"], row["low"], row["high"], share, row["networks"])
    return f"{text} *" if row["marked"] and text != "-" else text


def band_loss(table: pd.DataFrame, run_colours: RunColours) -> alt.TopLevelMixin:
    """Accuracy lost without low, middle and high shells, without equal energy elsewhere, and with the band alone."""
    lost = table[table["measure"] == "accuracy"]
    scale = alt.Scale(domain=[min(0.0, lost[["low", "mean"]].min().min()), lost[["high", "mean"]].max().max()])
    panels = []
    for change, title in CHANGES.items():
        x = style.axis(alt.X, "accuracy lost", "+.0%", 4).scale(scale)
        dots = charts.dots_by_row(lost[lost["change"] == change], run_colours, "band", x, width=250)
        panels.append(alt.layer(dots, charts.zero_line(alt.X)).properties(title=title))
    chart = alt.hconcat(panels[0].add_params(style.highlight()), *panels[1:], spacing=18)
    own, others = (
        lost[lost["change"] == change].groupby("band", sort=False)["energy"].mean()
        for change in ("without", "equal_energy")
    )
    energy = ", ".join(f"{band} {share:.1%} (elsewhere {others[band]:.1%})" for band, share in own.items())
    costliest = words.peaks(lost[lost["change"] == "without"], "band")
    caption = (
        f"{BAND_LOSS}Energy above DC that is removed: {energy}. Most accuracy is lost without the band: {costliest}. "
        f"{NO_TRAINING}{words.sample_note(lost)}"
    )
    return style.styled(chart, caption)


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
