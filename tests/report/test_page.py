"""Blocks of the page: text cannot break them, and nothing outside the page is asked for."""

import json
import re
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
import vl_convert
import yaml
from report_pages import Elements, unpacked

from spectroscope.pipeline import io
from spectroscope.report import page
from spectroscope.report.pictures import Cell

ROOT = Path(__file__).parents[2]
NASTY = "<!--<script>'\"&\u2028</script>|`"


def blocks(name: str) -> list[str]:
    """Every kind of block that shows names of the study, with this one."""
    chart = alt.Chart(alt.Data(values=[{"name": name}])).mark_point().properties(description=name)
    frame = pd.DataFrame({name: [name], "value": [name]})
    return [
        page.chart(chart),
        page.table(frame, name, {name: "#123456"}),
        page.grid([name], [(name, [Cell((), name)])], name, {name: "#123456"}, name),
        page.prose(name),
        page.items(name),
        page.facts({name: name}),
        page.heading(name),
        page.tabs("names", {name: page.prose(name)}),
        page.colour_scales([(["#123456"], name, name)]),
    ]


def test_names_that_look_like_markup_are_text():
    for nasty, plain in zip(blocks(NASTY), blocks("moon"), strict=True):
        assert Elements(nasty).tags == Elements(plain).tags
        assert "<!--" not in nasty


def test_a_chart_keeps_names_that_look_like_markup():
    (spec,) = Elements(blocks(NASTY)[0]).json
    assert json.loads(spec)["data"]["values"] == [{"name": NASTY}]
    assert not set("<>&\u2028\u2029") & set(spec)


def test_text_between_backticks_is_code():
    assert "<code>eps_255</code> in 1/255, <code>&lt;b&gt;</code>" in page.prose("`eps_255` in 1/255, `<b>`")
    assert "one ` alone" in page.prose("one ` alone")


def test_an_interval_stands_small_below_its_number_and_a_run_has_its_colour():
    frame = pd.DataFrame({"": ["clean"], "standard": ["73.2 % [71.0, 75.1]"]})
    text = page.table(frame, "", {"standard": "#0072b2"})
    assert '<td data-head="standard">73.2 %<small>[71.0, 75.1]</small></td>' in text
    assert '<i style="background:#0072b2"></i>standard' in text


def test_a_table_as_markdown_has_the_same_cells_and_escapes_its_separator():
    frame = pd.DataFrame({"": ["a|b"], "standard": ["1.0 % [0.5, 1.5]"]})
    lines = page.markdown(frame, "n = 3.").splitlines()
    assert [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[2])[1:-1]] == [r"a\|b", "1.0 % [0.5, 1.5]"]
    assert lines[-1] == "n = 3."


def test_more_tabs_than_rules_are_refused():
    with pytest.raises(ValueError, match="tabs many: expected at most 8 panels, got 9"):
        page.tabs("many", {str(i): page.prose("") for i in range(9)})


def test_the_plots_template_has_the_libraries_and_a_place_for_the_plots():
    text = page.plots_template()
    assert text.count("{plot_divs}") == text.count("{refresh_tag}") == 1
    assert "{scripts}" not in text  # where DVC would put its CDN
    assert not re.search(r"(?:src|href)\s*=|@import|url\(", text.replace(re.search(r'"([^"]{999,})"', text)[1], ""))
    assert unpacked(text) == vl_convert.javascript_bundle()


def test_the_committed_plots_template_is_the_one_page_writes():
    committed, fresh = (ROOT / ".dvc/plots/offline.html").read_text(), page.plots_template()
    assert unpacked(committed) == unpacked(fresh)
    packed = r'const packed = "[^"]*"'
    assert re.sub(packed, "", committed) == re.sub(packed, "", fresh)


def test_what_dvc_plots_gives_each_number_a_place_of_its_own():
    """Bars or points of several runs at one place would be added up or joined by a line."""
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        (about,) = plot.values()
        ((path, y),) = about["y"].items()
        template = json.loads((ROOT / ".dvc/plots" / f"{about['template']}.json").read_text())
        panel = template["facet"]["field"]
        place = next(column for column in (about["x"], y) if column != "mean")
        table = io.read_table(ROOT / path)
        for transform in template.get("transform", []):  # the template shows one score of several
            column, value = re.fullmatch(r"datum\.(\w+) == '(\w+)'", transform["filter"]).groups()
            table = table[table[column] == value]
            assert len(table)
        assert {panel, place, "mean"} <= set(table.columns)
        assert not table.duplicated([panel, place]).any() and table.duplicated(place).any()
