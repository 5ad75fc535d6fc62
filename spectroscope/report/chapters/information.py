"""Information in the bands of the images themselves: linear probes, and which class is strong in which shell."""

import altair as alt
import pandas as pd

from spectroscope.questions import QUESTIONS
from spectroscope.report import charts, page, style, words
from spectroscope.report.results import Results

QUESTION = QUESTIONS["information"]
CAPTION = (
    "Left: accuracy of a linear classifier on one band of the test images, from signed coefficients or magnitudes; "
    "hollow: trained on permuted labels, the control. It says what a band holds at least, not what a network uses. "
    "Right: ADCS, how many classes are weaker at a shell minus how many are stronger. It compares classes, not "
    "shells, and has no interval. "
)


def blocks(results: Results) -> page.Blocks:
    return (page.chart(information(results.tables["probes"], results.tables["class_spectra"], results.chance)),)


def information(probe_table: pd.DataFrame, spectra: pd.DataFrame, chance: float) -> alt.TopLevelMixin:
    """Accuracy of a linear probe on each band, and ADCS by class and shell."""
    height = 34 * probe_table["band"].nunique()
    left = alt.layer(probes(probe_table), charts.rule(alt.X, chance)).properties(
        width=360, height=height, title="What a linear probe can tell"
    )
    right = class_shells(spectra).properties(width=360, height=height, title="Which class is strong in which shell")
    both = alt.hconcat(left, right, spacing=36).resolve_scale(color="independent")
    return style.styled(
        both, f"{CAPTION}{best_band(probe_table)}The grey line is chance. {words.sample_note(probe_table)}"
    )


def best_band(table: pd.DataFrame) -> str:
    """The single band that tells most about the class, beside its control and the whole spectrum."""
    best = table[(table["band"] != "all") & (table["labels"] == "true")].sort_values("mean").iloc[-1]
    alike = table[table["features"] == best["features"]]
    control = alike.loc[(alike["band"] == best["band"]) & (alike["labels"] == "permuted"), "mean"].item()
    whole = alike.loc[(alike["band"] == "all") & (alike["labels"] == "true"), "mean"].item()
    return (
        f"In this study band {best['band']} alone ({best['features']}) tells most: {best['mean']:.0%} of the images, "
        f"{control:.0%} with permuted labels, {whole:.0%} from all bands. "
    )


def probes(table: pd.DataFrame) -> alt.LayerChart:
    """Dots with intervals for each band and kind of features, hollow for permuted labels."""
    bands = list(dict.fromkeys(table["band"].astype(str)))
    scale = alt.Scale(domain=["signed", "magnitude"], range=list(style.PALETTE[:2]))
    base = alt.Chart(charts.inline(table, "band", "features", "labels", "coefficients")).encode(
        alt.Y("band:N", sort=bands, title="band the linear probe sees (0 = DC)"),
        alt.YOffset("features:N", sort=["signed", "magnitude"], scale=alt.Scale(paddingOuter=0.6)),
        alt.Color("features:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
    )
    filled = alt.Color("features:N", scale=scale, legend=None)
    fill = alt.condition("datum.labels == 'true'", filled, alt.value("white"))
    tooltip = style.tooltip("band", "features", "labels", "coefficients", share=True)
    return alt.layer(
        *charts.dots(base, alt.X("mean:Q", title="accuracy", axis=alt.Axis(format=".0%")), tooltip, fill=fill)
    )


def class_shells(spectra: pd.DataFrame) -> alt.Chart:
    """ADCS: a row for each class, a column for each shell."""
    rows = spectra[spectra["statistic"] == "adcs"]
    classes = list(dict.fromkeys(rows["class"]))
    most = len(classes) - 1
    scale = alt.Scale(domain=[-most, 0, most], range=[style.DIVERGING[0], style.DIVERGING[2], style.DIVERGING[-1]])
    return (
        alt.Chart(charts.inline(rows, "class", "shell"))
        .mark_rect()
        .encode(
            alt.X("shell:O", title="shell (0 = DC)", axis=alt.Axis(labelOverlap=True, labelAngle=0)),
            alt.Y("class:N", sort=classes, title=None),
            alt.Color("mean:Q", scale=scale, legend=alt.Legend(title="ADCS", orient="right")),
            tooltip=style.tooltip("class", "shell"),
        )
    )
