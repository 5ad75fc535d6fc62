"""What the report says of the measures of reliance: side by side, as maps, how they agree, what choices change."""

import numpy as np
import pandas as pd

from spectroscope.report import measurefigures, page, pictures, style
from spectroscope.report.page import Section, chart

TABLES = ("methods", "agreement", "concordance", "faithfulness", "recovery", "multiverse", "signs")
MAPS = (
    "Mean over images and seeds, each map on its own scale, blue below and orange above zero. Maps of waves (Fourier "
    "heat maps) have DC in the centre; maps of coefficients have it at the top left. "
)
RANKED = (
    "Kendall's W of the bands above DC, 1 where all rank them alike: across the measures of a run (with its interval), "
    "and, for each measure, across seeds, across classes and across runs (from the lowest to the highest measure). "
)
RECOVERY = (
    "The label is planted in known shells. Found: share of seeds whose top band above DC is planted, with an exact "
    "interval over seeds. Then the accuracy lost without the band a measure names, and without an equal energy taken "
    "off the others. "
)


def sections(table: dict[str, pd.DataFrame], maps: dict[str, pd.DataFrame], hues: dict[str, str]) -> list[Section]:
    """The sections there is something to say in; `maps`: method, u, v, value, seed of each run."""
    found = [
        Section(
            "Measures",
            "Do other measures see the same?",
            (chart(measurefigures.measures(table["methods"], hues)), heat_maps(maps, table["methods"], hues)),
        )
    ]
    if (table["agreement"].columns == "method").any():
        said = [chart(measurefigures.agreement(table["agreement"], list(hues)))]
        if len(table["concordance"]):
            said.append(ranked(table["concordance"]))
        if len(table["faithfulness"]):
            said.append(chart(measurefigures.faithfulness(table["faithfulness"], hues)))
        found.append(Section("Agreement", "Do the measures agree, and is what they name what counts?", tuple(said)))
    if len(table["recovery"]):
        found.append(
            Section("Planted truth", "Do the measures find what was planted?", (recovered(table["recovery"]),))
        )
    if len(table["multiverse"]):
        curve = measurefigures.specification(table["multiverse"], table["signs"], hues)
        found.append(Section("Choices", "Does the answer survive other choices?", (chart(curve),)))
    return found


def heat_maps(maps: dict[str, pd.DataFrame], measures: pd.DataFrame, hues: dict[str, str]) -> str:
    """A picture for each method that has a map, one column for each run."""
    methods = dict.fromkeys(name for each in maps.values() if len(each) for name in each["method"])
    rows = []
    for method in methods:
        row = [method]
        for run in hues:
            mean = maps[run][maps[run]["method"] == method].groupby(["u", "v"])["value"].mean().unstack()
            row.append(pictures.picture(pictures.signed(mean.to_numpy()), f"{method} of {run}", _span(mean.to_numpy())))
        rows.append(row)
    return page.grid(["", *hues], rows, MAPS + style.made(measures), hues, "")


def recovered(table: pd.DataFrame) -> str:
    """The recovery table: found, then what removal costs."""
    rows = [
        (
            f"{row.run}, {row.method}",
            page.number(row.mean, row.low, row.high, True),
            *(page.number(value, None, None, True) for value in (row.hurt_named, row.hurt_other, row.hurts_more)),
        )
        for row in table.itertuples()
    ]
    names = ["statistic", "found", "lost without it", "lost without others", "seeds where it hurts more"]
    n = f"n = {int(table['n_images'].max())} images, {int(table['n_seeds'].max())} seeds."
    return page.table(pd.DataFrame(rows, columns=names), RECOVERY + n, {})


def ranked(table: pd.DataFrame) -> str:
    """Kendall's W by what ranks: rows across and run, how many rank, W."""
    rows = []
    for (across, run), part in table.groupby(["across", "run"], sort=False):
        ends = part["mean"].min(), part["mean"].max()
        low, high = (part["low"].iloc[0], part["high"].iloc[0]) if across == "measures" else ends
        w = f"{ends[0]:.2f} [{low:.2f}, {high:.2f}]" if across == "measures" else f"{low:.2f} to {high:.2f}"
        rows.append((f"{across}, {run}", int(part["raters"].max()), w))
    n = f"n = {int(table['n_images'].max())} images, {int(table['n_seeds'].max())} seeds."
    return page.table(pd.DataFrame(rows, columns=["across", "how many rank", "W"]), RANKED + n, {})


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2g} to {values.max():.2g}"
