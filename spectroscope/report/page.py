"""One self-contained HTML page from prose, tables, pictures and charts; it opens from a file, without a network.

Every block is a string of HTML, and `render` puts them into `page.html`, which has the style sheet. The Vega libraries
stand in the page once, deflated (a third of their size) and unpacked by the browser; a content policy in the page
forbids every request.
"""

import base64
import html
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
import vl_convert

from spectroscope.pipeline import io

Blocks = tuple[str, ...]
_TABS = 8


@dataclass(frozen=True)
class Section:
    """A part of the page: a short label for the contents list, a heading, blocks of HTML."""

    label: str
    title: str
    blocks: Blocks


def render(title: str, lead: Blocks, sections: Sequence[Section]) -> str:
    """The whole page."""
    names = [re.sub(r"[^a-z0-9]+", "-", section.label.lower()).strip("-") for section in sections]
    links = "".join(f'<a href="#{name}">{escape(s.label)}</a>' for name, s in zip(names, sections, strict=True))
    body = "".join(
        f'<section id="{name}"><h2>{escape(section.title)}</h2>{"".join(section.blocks)}</section>'
        for name, section in zip(names, sections, strict=True)
    )
    page = Template(files("spectroscope.report").joinpath("page.html").read_text(encoding="utf-8"))
    shown = ",".join(f".tabs>input:nth-of-type({k}):checked~.panel:nth-of-type({k})" for k in range(1, _TABS + 1))
    texts = {"title": escape(title), "lead": "".join(lead), "links": links, "body": body}
    return page.substitute(texts, loader=_loader(), tabs=shown + "{display:block}")


def write_plots_template(path: Path) -> None:
    """The page DVC fills with its plots (`plots.html_template`), with the Vega libraries in it instead of on a CDN."""
    io.write_text(path, _PLOTS.format(loader=_loader()))


def escape(text: str) -> str:
    """Text as HTML; `code` between backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def prose(*paragraphs: str, kind: str = "") -> str:
    """Paragraphs of plain text."""
    return "".join(f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>" for text in paragraphs)


def items(*lines: str) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def chart(figure: Any) -> str:
    """A Vega-Lite chart, with its description as caption."""
    spec = figure.to_dict()
    caption = spec.pop("description", "")
    code = json.dumps(spec, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    script = f'<script type="application/json">{code}</script>'
    return f'<figure class="chart"><div class="vega"></div>{script}<figcaption>{escape(caption)}</figcaption></figure>'


def table(frame: pd.DataFrame, caption: str, hues: dict[str, str]) -> str:
    """A table of text, the first column as row heads; a run's name carries its colour, intervals stand small below."""
    rows = [[row[0], *(_cell(str(value)) for value in row[1:])] for row in frame.itertuples(index=False)]
    return _table("values", [_head(str(name), hues) for name in frame.columns], rows, caption, hues)


def markdown(frame: pd.DataFrame, caption: str) -> str:
    """The same table as text, for a README."""
    lines = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{caption}\n"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, hues: dict[str, str], tiles: str) -> str:
    """A table of pictures: column heads (below each: what its `tiles` are), then rows of a head and cells of HTML."""
    first, *names = (_head(name, hues) for name in head)
    return _table("tiles", [first, *(f"{name}<small>{escape(tiles)}</small>" for name in names)], rows, caption, hues)


def facts(pairs: dict[str, str]) -> str:
    """Names and values in columns."""
    body = "".join(
        f"<div><dt>{escape(name)}</dt><dd title='{escape(value)}'>{escape(value)}</dd></div>"
        for name, value in pairs.items()
    )
    return f"<dl>{body}</dl>"


def tabs(name: str, panels: dict[str, str]) -> str:
    """Panels of which one is seen at a time, chosen by a radio button; no script."""
    if len(panels) > _TABS:
        raise ValueError(f"tabs {name}: expected at most {_TABS} panels, got {len(panels)}")
    buttons = "".join(
        f'<input type="radio" name="{name}" id="{name}-{i}"{" checked" if i == 0 else ""}>'
        f'<label for="{name}-{i}">{escape(label)}</label>'
        for i, label in enumerate(panels)
    )
    return f'<div class="tabs">{buttons}{"".join(f"<div class=panel>{panel}</div>" for panel in panels.values())}</div>'


def number(mean: float | None, low: float | None, high: float | None, share: bool) -> str:
    """73.2 % [71.0, 75.1], or 16.9 [16.1, 17.8] for what is no share; a dash for what does not exist."""
    if mean is None or not math.isfinite(mean):
        return "-"
    scale, unit = (100, " %") if share else (1, "")
    interval = all(bound is not None and math.isfinite(bound) for bound in (low, high))
    return f"{mean * scale:.1f}{unit}" + (f" [{low * scale:.1f}, {high * scale:.1f}]" if interval else "")


def _table(kind: str, head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, hues: dict[str, str]) -> str:
    top = "".join(f"<th scope='col'>{name}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row'>{_head(str(row[0]), hues)}</th>"
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<figure><div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
        f"</div><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _head(text: str, hues: dict[str, str]) -> str:
    mark = f'<i style="background:{hues[text]}"></i>' if text in hues else ""
    return f'<span class="run">{mark}{escape(text)}</span>'


def _cell(text: str) -> str:
    return re.sub(r" (\[[^\]]*\])$", r"<small>\1</small>", escape(text))


def _loader() -> str:
    """A script that unpacks the libraries; until they are there, `vegaEmbed` keeps its calls waiting."""
    packed = base64.b64encode(zlib.compress(vl_convert.javascript_bundle().encode(), 9)).decode()
    return _LOADER.replace("PACKED", packed)


_LOADER = """<script>
{
  const packed = "PACKED";
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed), letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = "(() => {" + await new Response(stream).text() + "})()";
    document.head.append(script);
  };
  const ready = unpack();
  window.vegaEmbed = (...call) => ready.then(() => window.vegaEmbed(...call));
}
</script>"""

_PLOTS = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{refresh_tag}}
<title>spectroscope: plots</title>
<style>body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 2rem; }}</style>
{loader}
</head>
<body>
<h1>Plots</h1>
{{plot_divs}}
</body>
</html>
"""
