"""Charts take the numbers of a table as they are, and are drawn without a browser."""

import re

import pandas as pd
import pytest
import report_tables

from spectroscope.report import charts
from spectroscope.report.overview import overview


def test_missing_numbers_reach_a_chart_as_empty_fields():
    table = pd.DataFrame({"run": ["a"], "mean": [1 / 3], "low": [float("nan")], "high": [2.0]})
    assert charts.inline(table, "run").values == "run,mean,low,high\na,0.333333,,2\n"


@pytest.mark.parametrize(("n_panels", "columns"), [(1, 1), (3, 3), (4, 2), (5, 3), (7, 3)])
def test_panels_stand_in_rows_of_equal_length(n_panels, columns):
    assert charts.even_columns(n_panels) == columns


def test_the_overview_is_an_svg_picture_of_every_run():
    table = report_tables.tables(2)
    chart = overview(table["occluded_frequency"], table["accuracy"], report_tables.run_colours(2))
    svg = charts.svg(chart)
    assert svg.startswith("<svg") and "NaN" not in svg
    assert all(f">{run}<" in svg for run in report_tables.RUNS[:2])
    first_fonts = {fonts.split(",")[0] for fonts in re.findall(r'font-family="([^"]+)"', svg)}
    assert first_fonts == {"Liberation Sans"}  # of vl-convert itself: a font of the machine would give other bytes
