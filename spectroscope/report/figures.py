"""Figures: a written table in, a Vega-Lite chart out.

A run has one colour in every chart (`hues`), and a chart carries its caption, with n, seeds and interval, as its
description. The data of a chart are the rows of its table, in their order, to the six digits tables are written with.
"""

import math
from pathlib import Path

import altair as alt
import pandas as pd
import vl_convert

from spectroscope.pipeline import io
from spectroscope.report import style

MEAN = "mean over classes"


def occluded_frequency(table: pd.DataFrame, classes: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Logit drop for every shell removed (the paper's Fig. 1), DC apart, for the mean over classes or one class."""
    style.require(table, "occluded_frequency", "run", "shell", "mean", "low", "high", "n_images", "n_seeds")
    style.require(classes, "class_occluded_frequency", "run", "class", "shell", "mean")
    names = [MEAN, *dict.fromkeys(map(str, classes["class"]))]
    both = pd.concat([table.assign(**{"class": MEAN}), classes.astype({"class": str})])
    shown = alt.param("shown", value=MEAN, bind=alt.binding_select(options=names, name="Class  "))
    source = alt.Chart(style.data(both, "run", "class", "shell")).transform_filter(alt.datum["class"] == shown)
    height = 300
    bare = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    x = alt.X("run:N", sort=list(hues), title="shell 0 (DC)", axis=bare)
    constant = source.transform_filter("datum.shell == 0").encode(x)
    panel = constant.mark_point(filled=True, size=70, opacity=1).encode(
        alt.Y("mean:Q", title="logit drop when the shell is removed"),
        style.colour(hues),
        tooltip=style.tooltip("run", "class"),
    )
    bars = constant.mark_rule(strokeWidth=2).encode(alt.Y("low:Q"), alt.Y2("high"), style.colour(hues))
    left = alt.layer(bars, panel).properties(width=30 + 16 * len(hues), height=height)
    right = _curves(source, hues).properties(width=830 - 16 * len(hues), height=height)
    caption = (
        "How far the logit of the true class falls when one shell of the spectrum is set to zero, for each run: the "
        "higher a curve, the more the run relies on that shell; below zero the shell speaks against the class. "
        "Click a run in the legend to single it out. " + style.made(table)
    )
    chart = (
        alt.hconcat(left, right.add_params(style.pick()), spacing=28).resolve_scale(y="independent").add_params(shown)
    )
    return style.styled(chart, caption)


def transfer(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Accuracy of each run on each band: a matrix with its numbers."""
    style.require(table, "band_accuracy", "run", "band", "mean", "low", "high", "n_images", "n_seeds")
    bands = list(dict.fromkeys(table["band"]))
    base = alt.Chart(style.data(table, "run", "band")).encode(
        alt.X("band:N", sort=bands, title="band of the test images", axis=alt.Axis(labelAngle=0, orient="top")),
        alt.Y("run:N", sort=list(hues), title=None),
        tooltip=style.tooltip("run", "band", share=True),
    )
    scale = alt.Scale(domain=[0, 1], range=list(style.SEQUENTIAL), interpolate="rgb")
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="accuracy", format=".0%", orient="right"))
    )
    light = alt.condition("datum.mean > 0.55", alt.value("white"), alt.value(style.INK))
    numbers = base.mark_text(fontSize=13).encode(alt.Text("mean:Q", format=".1%"), color=light)
    width = min(820, 130 * len(bands))
    chart = alt.layer(cells, numbers).properties(width=width, height=44 * len(hues))
    return style.styled(
        chart, "Accuracy of each run (rows) on test images restricted to each band (columns). " + style.made(table)
    )


def accuracy(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Accuracy of each run without and under each attack: dots with intervals."""
    style.require(table, "accuracy", "run", "attack", "mean", "low", "high", "n_images", "n_seeds")
    chart = _dots(table, hues, "attack", _ticked("accuracy", ".0%", 8), width=840).add_params(style.pick())
    caption = "Accuracy on clean test images and under each attack: the further right, the more images stay correct. "
    return style.styled(chart, caption + style.made(table))


def contrasts(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Differences run - reference with intervals; a dot is filled where its interval leaves out zero."""
    style.require(table, "contrasts", "run", "reference", "statistic", "mean", "low", "high", "n_images", "n_seeds")
    pairs = "run - " + " / ".join(dict.fromkeys(table["reference"]))
    units = table["statistic"].map(_UNITS).fillna("share")
    panels = [
        _dots(rows, hues, "statistic", _ticked(f"{pairs}: {title}", form, 8), width=840, zero=True)
        for unit, (title, form) in _AXES.items()
        if len(rows := table[units == unit])
    ]
    caption = (
        "Difference of each run from its reference: a filled dot has an interval that leaves out zero (a difference "
        "the data show), a hollow one an interval that includes it. Sums of OF are left out: they are in logits, which "
        "have no common unit. " + style.made(table)
    )
    return style.styled(alt.vconcat(panels[0].add_params(style.pick()), *panels[1:], spacing=18), caption)


def power(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Share of the perturbation's power in each shell, attack against control, one panel for each attack."""
    style.require(
        table,
        "perturbation",
        "run",
        "attack",
        "source",
        "shape",
        "statistic",
        "shell",
        "mean",
        "low",
        "high",
        "n_images",
    )
    rows = table[(table["statistic"] == "power") & (table["shape"] == table["shape"].iloc[0])]
    attacks = list(dict.fromkeys(rows["attack"]))
    dash = alt.StrokeDash(
        "source:N",
        scale=alt.Scale(domain=["attack", "control"], range=[[1, 0], [3, 3]]),
        legend=alt.Legend(title=None, orient="top", symbolStrokeColor=style.INK),
    )
    base = alt.Chart().encode(style.shells("shell (0 = DC)"), detail="source:N")
    band = base.mark_area().encode(alt.Y("low:Q"), alt.Y2("high"), style.colour(hues), opacity=style.picked(0.15))
    line = base.mark_line(strokeWidth=1.6).encode(
        alt.Y("mean:Q", title="share of power", axis=alt.Axis(format=".1~%", tickCount=5)),
        style.colour(hues),
        dash,
        opacity=style.picked(),
        tooltip=style.tooltip("run", "attack", "source", "shell", share=True),
    )
    columns = math.ceil(len(attacks) / math.ceil(len(attacks) / 3))  # rows of equal length
    panel = alt.layer(band, line).properties(width=930 // columns - 40, height=190)
    facet = alt.Facet("attack:N", sort=attacks, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    data = style.data(rows, "run", "attack", "source", "shell")
    chart = panel.facet(facet, columns=columns, data=data).resolve_axis(x="independent").add_params(style.pick())
    caption = (
        "Where the power of a perturbation lies: solid, the attack; dashed, its control, white noise of the same norm "
        "pushed through the same clip. Above the dashed line an attack puts more power in a shell than noise does. "
        "The control rises because a shell holds more coefficients the higher it is. "
    )
    return style.styled(chart, caption + style.made(rows, "perturbations that fooled"))


def training(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Loss and held-out accuracy after each epoch, one thin line for each seed."""
    style.require(table, "training", "run", "seed", "epoch", "loss", "clean", "robust")
    data, dots = style.data(table, "run", "seed", "epoch", values=tuple(_TRAINED)), alt.OverlayMarkDef(size=14)
    epochs = sorted(table["epoch"].unique().tolist())
    marks = alt.Axis(values=epochs[:: math.ceil(len(epochs) / 10)], format="d", grid=False)
    base = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.4, point=dots)
        .encode(
            alt.X("epoch:Q", scale=alt.Scale(nice=False), axis=marks),
            style.colour(hues),
            alt.Detail("seed:N"),
            opacity=style.picked(0.75),
            tooltip=["run:N", "seed:N", "epoch:Q", *(alt.Tooltip(f"{name}:Q", format=".3g") for name in _TRAINED)],
        )
    )
    panels = [
        base.encode(alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format=form)))
        .transform_filter(f"isValid(datum.{name})")
        .properties(width=262, height=210)
        for name, (title, form) in _TRAINED.items()
    ]
    chart = alt.hconcat(panels[0].add_params(style.pick()), *panels[1:], spacing=24)
    caption = (
        "Training loss, then accuracy on the held-out part: clean, and under the "
        "adversary `judge`, the same for all runs. "
        f"One line for each of {table['seed'].nunique()} seeds; no interval."
    )
    return style.styled(chart, caption)


def overview(frequency: pd.DataFrame, attacked: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """One picture for a README: Occluded Frequency curves beside accuracy by attack."""
    style.require(frequency, "occluded_frequency", "run", "shell", "mean", "low", "high", "n_images", "n_seeds")
    style.require(attacked, "accuracy", "run", "attack", "mean", "low", "high", "n_images", "n_seeds")
    curves = _curves(
        alt.Chart(style.data(frequency.assign(**{"class": MEAN}), "run", "class", "shell")), hues
    ).properties(width=420, height=300, title="What the networks rely on")
    dots = _dots(attacked, hues, "attack", _ticked("accuracy", ".0%", 5), width=300).properties(
        height=300, title="What they withstand"
    )
    both = alt.hconcat(curves.add_params(style.pick()), dots, spacing=36)
    return style.styled(both, style.made(frequency)).properties(background="white")


def export(chart: alt.TopLevelMixin, path: Path) -> None:
    """A chart as .svg or .png (two pixels to the point), without a browser."""
    if path.suffix == ".svg":
        io.write_text(path, vl_convert.vegalite_to_svg(chart.to_dict()))
    elif path.suffix == ".png":
        with io.replacing(path) as temporary:
            temporary.write_bytes(vl_convert.vegalite_to_png(chart.to_dict(), scale=2))
    else:
        raise ValueError(f"{path}: expected a name ending in .svg or .png, got {path.suffix!r}")


_UNITS = {"centroid": "shells", "dc": "logits", "low_sum": "logits", "mid_sum": "logits", "high_sum": "logits"}
_AXES = {
    "share": ("accuracy, or share of OF", "+.0%"),
    "shells": ("shells", "+.2~f"),
}
_TRAINED = {
    "loss": ("training loss", ".2"),
    "clean": ("held-out accuracy", ".0%"),
    "robust": ("held-out accuracy, attacked", ".0%"),
}


def _curves(source: alt.Chart, hues: dict[str, str]) -> alt.LayerChart:
    """Occluded Frequency over the shells above DC: line, points, interval."""
    base = source.transform_filter("datum.shell > 0").encode(
        style.shells("shell above DC (half cycles per image side)"),
        style.colour(hues),
    )
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_area()
        .encode(alt.Y("low:Q"), alt.Y2("high"), opacity=style.picked(0.18))
    )
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22)).encode(
        alt.Y("mean:Q", title="logit drop when the shell is removed"),
        opacity=style.picked(),
        tooltip=style.tooltip("run", "class", "shell"),
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color="#9aa3ab").encode(alt.Y("zero:Q"))
    return alt.layer(band, zero, line)  # the first layer has the legend, which chooses a run


def _dots(
    table: pd.DataFrame, hues: dict[str, str], row: str, x: alt.X, width: int, zero: bool = False
) -> alt.LayerChart:
    """One row for each value of `row`, in it one dot with its interval for each run."""
    rows = list(dict.fromkeys(table[row]))
    given = ["reference"] if zero else []
    base = alt.Chart(style.data(table, "run", *given, row)).encode(
        alt.Y(f"{row}:N", sort=rows, title=None, axis=alt.Axis(labelFontSize=12, grid=True, tickBand="extent")),
        alt.YOffset("run:N", sort=list(hues), scale=alt.Scale(paddingOuter=0.9)),
        style.colour(hues),
        opacity=style.picked(),
    )
    shown = style.tooltip("run", *given, row, share=not table[row].isin(_UNITS).all())
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high"))
    dots = base.mark_point(size=60, strokeWidth=2, filled=not zero).encode(x, tooltip=shown)
    layers = [bars, dots]
    if zero:
        sure = alt.condition("datum.low > 0 || datum.high < 0", style.colour(hues, alt.Fill), alt.value("white"))
        layers[1] = layers[1].encode(fill=sure)
        layers.insert(1, alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=style.INK).encode(alt.X("zero:Q")))
    return alt.layer(*layers).properties(width=width, height=len(rows) * (18 + 9 * len(hues)))


def _ticked(title: str, form: str, ticks: int) -> alt.X:
    return alt.X("mean:Q", title=title, axis=alt.Axis(format=form, tickCount=ticks))
