"""The chapter on reliance: curves by score, negative mass, whole bands; a run at chance has curves alone."""

import io as memory

import numpy as np
import pandas as pd
import pytest
import report_tables
import vl_convert
from report_tables import CLASSES, RUNS, study, tables

from spectroscope.report.chapters import attribution
from spectroscope.report.overview import overview

COLOURS = report_tables.run_colours(4)


@pytest.fixture(scope="module")
def table() -> dict[str, pd.DataFrame]:
    return tables()


def held(chart) -> tuple[dict, pd.DataFrame]:
    """The specification of a chart, and the rows it holds."""
    spec = chart.to_dict()
    texts = [values for values in spec["datasets"].values() if isinstance(values, str)]
    return spec, pd.concat(pd.read_csv(memory.StringIO(text)) for text in texts)


def of(table: pd.DataFrame, score: str) -> pd.DataFrame:
    return table[table["score"] == score]


def test_the_first_chart_is_of_the_probability_for_the_mean_and_every_class(table):
    spec, rows = held(
        attribution.occluded_frequency(table["occluded_frequency"], table["class_occluded_frequency"], COLOURS)
    )
    (select,) = [param["bind"] for param in spec["params"] if "input" in param.get("bind", {})]
    assert select["options"] == [attribution.MEAN, *CLASSES]
    by_class = of(table["class_occluded_frequency"], "probability").groupby("class")
    for name, part in [(attribution.MEAN, of(table["occluded_frequency"], "probability")), *by_class]:
        np.testing.assert_allclose(rows.loc[rows["class"] == name, "mean"], part["mean"], rtol=1e-5)
    assert "does not show" in spec["description"] and "Most is lost" in spec["description"]
    picture = vl_convert.vegalite_to_svg(spec)
    assert "half cycles per image side" in picture and "probability of the label" in picture


def test_a_run_at_chance_is_named_below_its_curve(table):
    curves = table["occluded_frequency"]
    guessing = curves.assign(at_chance=curves["run"] == RUNS[2])
    captions = [
        attribution.occluded_frequency(each, table["class_occluded_frequency"], COLOURS).to_dict()["description"]
        for each in (curves, guessing)
    ]
    assert "At chance" not in captions[0] and f"mean nothing: {RUNS[2]}." in captions[1]


def test_a_caption_tells_where_a_point_is_a_band_of_several_shells(table):
    curves = table["occluded_frequency"]
    wide = curves.assign(shell=2.0 * curves["shell"] - 0.5).replace({"shell": {-0.5: 0}})  # DC, 1-2, 3-4, ...
    for each, told in ((curves, False), (wide, True)):
        for chart in (
            attribution.occluded_frequency(each, table["class_occluded_frequency"], COLOURS),
            attribution.shapes(each, COLOURS),
        ):
            assert (attribution.WIDE in chart.to_dict()["description"]) == told


def test_margin_and_paper_mode_stand_in_panels_of_their_own(table):
    spec, rows = held(attribution.shapes(table["occluded_frequency"], COLOURS))
    for score, name in {"margin": "margin", "logit": "logit (paper mode)"}.items():
        shown = of(table["occluded_frequency"], score).query("shell > 0")
        np.testing.assert_allclose(rows.loc[rows["drop"] == name, "mean"], shown["mean"], rtol=1e-5)
    assert len(rows) == 2 * len(shown)
    assert "compare shapes" in spec["description"] and "no common unit" in spec["description"]


def test_the_table_marks_a_run_whose_negative_part_is_large(table):
    reliance = table["reliance"].copy()
    marked = (reliance["run"] == RUNS[1]) & (reliance["statistic"] == "centroid") & (reliance["score"] == "margin")
    reliance.loc[marked, "marked"] = True
    frame, caption = attribution.negative_parts(reliance, COLOURS)
    assert frame[""].tolist() == [
        "centroid by margin (shell)",
        "centroid of absolute values by margin (shell)",
        *(f"negative part by {score}" for score in ("margin", "probability", "logit")),
    ]
    assert [cell.endswith("*") for cell in frame.loc[0, RUNS[:4]]] == [False, True, False, False]
    assert f"Marked: {RUNS[1]}." in caption and "does not show" in caption
    assert all("%" in cell for cell in frame.loc[2:, RUNS[0]])
    assert "No run is marked." in attribution.negative_parts(table["reliance"], COLOURS)[1]


def test_whole_bands_are_shown_beside_equal_energy_and_the_band_alone(table):
    losses = table["band_loss"].copy()
    losses.loc[losses["change"] == "equal_energy", "energy"] = 0.125
    spec, rows = held(attribution.band_loss(losses, COLOURS))
    shown = losses[losses["measure"] == "accuracy"]
    order = ["run", "band", "mean"]
    columns = rows[order].sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(columns, shown[order].sort_values(order, ignore_index=True), rtol=1e-5)
    assert [panel["title"] for panel in spec["hconcat"]] == list(attribution.CHANGES.values())
    assert "low 20.0% (elsewhere 12.5%)" in spec["description"] and "does not show" in spec["description"]
    assert ">middle<" in vl_convert.vegalite_to_svg(spec)


def test_a_study_of_runs_at_chance_has_curves_and_no_summaries():
    whole = tables(2)
    nothing = {name: whole[name].head(0) for name in ("reliance", "band_loss")}
    shown, empty = ("".join(attribution.blocks(study(2, tables=changes))) for changes in ({}, nothing))
    assert "negative part by margin" in shown and "Accuracy lost" in shown
    assert "negative part by margin" not in empty and "Accuracy lost" not in empty
    assert "Occluded Frequency" in empty


def test_the_picture_of_the_study_has_the_curves_of_the_probability(table):
    _, rows = held(overview(table["occluded_frequency"], table["accuracy"], COLOURS))
    curves = rows.dropna(subset=["shell"])
    np.testing.assert_allclose(curves["mean"], of(table["occluded_frequency"], "probability")["mean"], rtol=1e-5)
