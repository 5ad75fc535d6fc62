"""Figures of what attacks change and what bands hold: a written table in, a Vega-Lite chart out (as `figures`)."""

import math

import altair as alt
import pandas as pd

from spectroscope.report import style


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


def information(probes: pd.DataFrame, spectra: pd.DataFrame) -> alt.TopLevelMixin:
    """Accuracy of a linear probe on each band, and which class is strong in which shell (ADCS)."""
    style.require(probes, "probes", "band", "features", "labels", "coefficients", "mean", "low", "high", "n_images")
    style.require(spectra, "class_spectra", "class", "statistic", "shell", "mean", "low", "high", "n_images")
    bands = list(dict.fromkeys(probes["band"].astype(str)))
    looks = alt.Scale(domain=["signed", "magnitude"], range=list(style.PALETTE[:2]))
    data = style.data(probes, "band", "features", "labels", "coefficients")
    base = alt.Chart(data).encode(
        alt.Y("band:N", sort=bands, title="band the probe sees"),
        alt.YOffset("features:N", sort=["signed", "magnitude"], scale=alt.Scale(paddingOuter=0.6)),
        alt.Color("features:N", scale=looks, legend=alt.Legend(title=None, orient="top")),
    )
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high"))
    dots = base.mark_point(size=60, strokeWidth=2).encode(
        alt.X("mean:Q", title="accuracy", axis=alt.Axis(format=".0%")),
        fill=alt.condition(
            "datum.labels == 'true'", alt.Color("features:N", scale=looks, legend=None), alt.value("white")
        ),
        tooltip=style.tooltip("band", "features", "labels", "coefficients", share=True),
    )
    left = alt.layer(bars, dots).properties(width=360, height=34 * len(bands), title="What a linear probe can tell")
    own = spectra[spectra["statistic"] == "adcs"]
    names = list(dict.fromkeys(map(str, own["class"])))
    most = len(names) - 1
    scale = alt.Scale(domain=[-most, 0, most], range=[style.DIVERGING[0], style.DIVERGING[2], style.DIVERGING[-1]])
    right = (
        alt.Chart(style.data(own.astype({"class": str}), "class", "shell"))
        .mark_rect()
        .encode(
            alt.X("shell:O", title="shell (0 = DC)", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            alt.Y("class:N", sort=names, title=None),
            alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="ADCS", orient="right")),
            tooltip=style.tooltip("class", "shell"),
        )
        .properties(width=360, height=34 * len(bands), title="Whose frequencies they are")
    )
    caption = (
        "Left: accuracy of a linear classifier that sees one band of the test images alone, from its signed "
        "coefficients or from their magnitudes; hollow: trained on permuted labels, the control. It says what is there "
        "at least, not what a network uses. Right: ADCS, the number of other classes that are weaker at a shell less "
        "that of stronger ones. "
        f"n\u00a0=\u00a0{int(probes['n_images'].iloc[0]):,} test images; bootstrap intervals over images."
    )
    both = alt.hconcat(left, right, spacing=36).resolve_scale(color="independent")
    return style.styled(both, caption)


def margins(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Median norm of the smallest perturbation inside each band that fools, on a log scale."""
    style.require(table, "margins", "run", "band", "unreached", "mean", "low", "high", "n_images", "n_seeds")
    base = alt.Chart(style.data(table, "run", "band", "unreached")).encode(
        alt.X("band:O", title="octave (0 = DC)", axis=alt.Axis(labelAngle=0)),
        alt.XOffset("run:N", sort=list(hues), scale=alt.Scale(paddingOuter=0.6)),
        style.colour(hues),
        opacity=style.picked(),
    )
    there = base.transform_filter("isValid(datum.mean)")
    bars = there.mark_rule(strokeWidth=2).encode(alt.Y("low:Q"), alt.Y2("high"))
    dots = there.mark_point(size=60, filled=True).encode(
        alt.Y("mean:Q", title="median l2 norm", scale=alt.Scale(type="log")), tooltip=style.tooltip("run", "band")
    )
    chart = alt.layer(bars, dots).properties(width=840, height=260).add_params(style.pick())
    caption = (
        "The smallest perturbation that changes the class when it may use the frequencies of one octave alone: the "
        "lower a dot, the more cheaply the run is fooled there. No dot: no such perturbation for half of the images. "
    )
    return style.styled(chart, caption + style.made(table))


def masks(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """Mean of learned masks in each shell: of the network, essential, adversarial, one panel each."""
    style.require(table, "masks", "run", "mask", "shell", "mean", "low", "high", "n_images", "n_seeds")
    kinds = list(dict.fromkeys(table["mask"]))
    panel = _lines(hues, "mean of the mask", ("run", "mask", "shell")).properties(width=262, height=210)
    facet = alt.Facet("mask:N", sort=kinds, title=None, header=alt.Header(labelFontSize=13, labelFontWeight=600))
    chart = panel.facet(facet, columns=3, data=style.data(table, "run", "mask", "shell")).add_params(style.pick())
    caption = (
        "Masks on the spectrum, pushed to 0 wherever nothing is lost: what a run needs to keep its loss (network), "
        "what suffices for an image to be right (essential), and for an adversary to fool (adversarial). "
    )
    return style.styled(chart, caption + style.made(table))


def counterparts(table: pd.DataFrame, hues: dict[str, str]) -> alt.TopLevelMixin:
    """What is left of the difference between start and image once their representations match, by shell."""
    style.require(table, "counterparts", "run", "statistic", "shell", "mean", "low", "high", "n_images", "n_seeds")
    rows = table[table["statistic"] == "remaining"]
    lines = _lines(hues, "log of what remains", ("run", "shell"))
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=style.INK).encode(alt.Y("zero:Q"))
    chart = alt.layer(*lines.layer, zero, data=style.data(rows, "run", "shell")).properties(width=840, height=260)
    caption = (
        "Counterparts (the paper's Eq. 9): an image of another class is changed until a run's representation of it is "
        "that of the image. Below zero the shell has come nearer to the image than the start was, so the "
        "representation holds it; at zero, the difference of two natural images, it is blind to it; above zero the "
        "search has added what is in neither. Of the distance of representations is left, on average: "
    )
    left = "; ".join(f"{row.run} {row.mean:.0%}" for row in table[table["statistic"] == "left"].itertuples())
    return style.styled(chart.add_params(style.pick()), f"{caption}{left}. {style.made(rows)}")


def _lines(hues: dict[str, str], title: str, shown: tuple[str, ...]) -> alt.LayerChart:
    """Mean and interval over shells, one colour for each run."""
    base = alt.Chart().encode(style.shells("shell (0 = DC)"), style.colour(hues))
    there = base.transform_filter("isValid(datum.mean)")
    band = there.mark_area().encode(alt.Y("low:Q"), alt.Y2("high"), opacity=style.picked(0.15))
    line = there.mark_line(strokeWidth=1.6).encode(
        alt.Y("mean:Q", title=title), opacity=style.picked(), tooltip=style.tooltip(*shown)
    )
    return alt.layer(band, line)
