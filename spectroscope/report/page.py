"""One self-contained HTML page from prose, tables, pictures and charts; it opens from a file, without a network.

Every function renders one block from its template in `templates/`, which escapes all text; `render` puts the blocks of
all chapters into the page. The Vega libraries stand in the page once, deflated (a third of their size) and unpacked by
the browser; a content policy in the page forbids every request.
"""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from spectroscope.report.pictures import Cell
from spectroscope.report.style import RunColours

Blocks = tuple[Markup, ...]
TABS = 8  # the style sheet has a rule for each tab


@dataclass(frozen=True)
class Chapter:
    """A part of the page: its name (a stage), its question, and its blocks of HTML."""

    name: str
    question: str
    blocks: Blocks


def render(title: str, lead: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """The whole page."""
    return _filled("page.html", title=title, lead=lead, chapters=chapters, tabs=TABS, libraries=_libraries())


def prose(*paragraphs: str, kind: str = "") -> Markup:
    """Paragraphs; `code` between backticks, here and in every caption."""
    return _filled("prose.html", paragraphs=paragraphs, kind=kind)


def heading(text: str) -> Markup:
    """A heading within a chapter."""
    return _filled("heading.html", text=text)


def items(*lines: str) -> Markup:
    """A list of sentences."""
    return _filled("items.html", lines=lines)


def facts(pairs: dict[str, str]) -> Markup:
    """Names and values in columns."""
    return _filled("facts.html", pairs=pairs)


def chart(figure: alt.TopLevelMixin) -> Markup:
    """A Vega-Lite chart, with its description as caption."""
    spec = figure.to_dict()
    caption = spec.pop("description", "")
    return _filled("chart.html", spec=spec, caption=caption)


def table(
    frame: pd.DataFrame, caption: str, run_colours: RunColours | None = None, side_by_side: bool = False
) -> Markup:
    """A table of text, the first column as row heads; a run's name carries its colour, intervals stand small below.

    side_by_side: a row becomes a block on a narrow screen, each cell below its column's name.
    """
    names = {"head": list(frame.columns), "rows": frame.astype(str).to_numpy().tolist(), "side": side_by_side}
    return _filled("table.html", **names, caption=caption, run_colours=run_colours or {})


def beside(blocks: Sequence[Markup]) -> Markup:
    """Blocks in a row, as many as the width of the screen holds."""
    return _filled("beside.html", blocks=blocks)


def claims(lines: Sequence[Any], caption: str) -> Markup:
    """A table of claims, a row for each `chapters.claims.Line`; a narrow screen has its cells one below the other."""
    return _filled("claims.html", lines=lines, caption=caption)


def grid(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    caption: str,
    run_colours: RunColours | None = None,
    legend: str = "",
) -> Markup:
    """A table of pictures: names of the columns, rows of a head and cells; `legend`: what stands in every cell."""
    names = {"columns": columns, "rows": rows, "legend": legend}
    return _filled("grid.html", **names, caption=caption, run_colours=run_colours or {})


def colour_scales(scales: Sequence[tuple[Sequence[str], str, str]]) -> Markup:
    """Legends of colour scales: their colours, the words at the low and at the high end."""
    return _filled("colour_scales.html", scales=scales)


def tabs(name: str, panels: dict[str, Markup]) -> Markup:
    """Panels of which one is seen at a time, chosen by a radio button; no script."""
    if len(panels) > TABS:
        raise ValueError(f"tabs {name}: expected at most {TABS} panels, got {len(panels)}")
    return _filled("tabs.html", name=name, panels=panels)


def markdown(frame: pd.DataFrame, caption: str) -> str:
    """A table and its caption as Markdown."""
    cells = frame.map(lambda cell: str(cell).replace("|", r"\|"))
    cells.columns = [name.replace("|", r"\|") for name in frame.columns]
    return f"{cells.to_markdown(index=False, disable_numparse=True)}\n\n{caption}\n"


def plots_template() -> str:
    """The page that DVC fills with its plots (`plots.html_template`), with the Vega libraries in it, not on a CDN."""
    return _filled("plots.html", libraries=_libraries())


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("spectroscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # `tojson` escapes what could end a script element: <, >, & and the line separators U+2028 and U+2029.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _filled(template: str, **values: Any) -> Markup:
    return Markup(_environment().get_template(template).render(values))


def _libraries() -> str:
    """The Vega libraries, deflated, in base64."""
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default of `snippet`
    return base64.b64encode(zlib.compress(bundle.encode(), 9)).decode()
