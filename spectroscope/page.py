"""One self-contained HTML page from prose, tables, pictures and charts; it opens from a file, without a network.

Every block is a string of HTML and `render` puts them together. The Vega libraries stand in the page once, deflated (a
third of their size) and unpacked by the browser; a content policy in the page forbids every request.
"""

import base64
import html
import io as memory
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import vl_convert
from PIL import Image
from torch import Tensor

from spectroscope import io

Blocks = tuple[str, ...]
Cells = dict[tuple[str, str], tuple[Tensor, pd.DataFrame]]


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
    return _PAGE.format(
        title=escape(title), style=_STYLE, loader=_loader(), lead="".join(lead), links=links, body=body, start=_START
    )


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


def results(accuracy: pd.DataFrame, reliance: pd.DataFrame, caption: str, hues: dict[str, str]) -> str:
    """Measures in rows, runs in columns: accuracy clean and under each attack, then what each run relies on."""
    names = {"clean": "clean accuracy", "hf_share": "OF high-frequency share", "centroid": "OF centroid (shell)"}
    reliance = reliance[reliance["measure"].isin(names)]
    both = pd.concat([accuracy.rename(columns={"attack": "measure"}), reliance], ignore_index=True)
    rows = []
    for measure, part in both.groupby("measure", sort=False):
        cells = part.set_index("run")[["mean", "low", "high"]].reindex(list(hues))
        numbers = [number(*cell, share=measure != "centroid") for cell in cells.itertuples(index=False)]
        rows.append((names.get(measure, f"under {measure}"), *numbers))
    lost = reliance[reliance["n_missing"] > 0]
    notes = [f" {row.run}, {row.measure}: left out {row.n_missing:g} without a value." for row in lost.itertuples()]
    return table(pd.DataFrame(rows, columns=["", *hues]), caption + "".join(notes), hues)


def samples(test: io.Images, bands: dict[str, io.Images], count: int, caption: str) -> str:
    """The first image of each of `count` classes and what the bands keep of it, unless it is everything."""
    chosen = [int((test.labels == label).nonzero()[0]) for label in test.labels.unique()[:count]]
    shown = {"original": test} | {name: kept for name, kept in bands.items() if not kept.pixels.equal(test.pixels)}
    rows = [
        [test.classes[test.labels[i]], *(picture(_visible(images.pixels[i]), name) for name, images in shown.items())]
        for i in chosen
    ]
    return grid(["", *shown], rows, caption, {}, "")


def adversaries(test: io.Images, cells: Cells, enlarged: int, caption: str, hues: dict[str, str]) -> str:
    """One image under every attack on every run, and its perturbation.

    Of the images that the most networks got right before, it is the one that the most attacks fooled.

    `cells`: perturbations (n, C, H, W) of one seed and their rows (image, label, before, after, success), by
    (run, attack).
    """
    rows = pd.concat([rows for _, rows in cells.values()])
    tried = rows.assign(right=rows["before"] == rows["label"], n=1).groupby("image")[["n", "right", "success"]].sum()
    image = int(tried[tried["n"] == len(cells)].sort_values(["right", "success"], kind="stable").index[-1])

    def cell(run: str, attack: str) -> str:
        perturbations, rows = cells[run, attack]
        at = int((rows["image"] == image).argmax())
        note = f"{test.classes[rows['before'].iloc[at]]} → {test.classes[rows['after'].iloc[at]]}"
        adversary = picture(test.pixels[image] + perturbations[at], f"{attack} on {run}")
        return adversary + picture(0.5 + enlarged * perturbations[at], "perturbation", note)

    attacks = dict.fromkeys(attack for _, attack in cells)
    rows = [["original", picture(test.pixels[image], "original", test.classes[test.labels[image]])]]
    rows += [[attack, *(cell(run, attack) for run in hues)] for attack in attacks]
    return grid(["", *hues], rows, caption, hues, f"adversary · perturbation x {enlarged}")


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


def picture(pixels: np.ndarray | Tensor, text: str, note: str = "", height: int = 64) -> str:
    """Pixels (C, H, W), clipped to [0, 1], as a PNG inside the page, `height` points high, with a note below."""
    values = (np.clip(np.asarray(pixels, float), 0, 1) * 255).round().astype(np.uint8)  # (C, H, W)
    if len(values) == 1 or (values == values[:1]).all():
        image = Image.fromarray(values[0])
    else:
        image = Image.fromarray(values.transpose(1, 2, 0))
        image = image.quantize() if image.getcolors(128) else image  # few colours: a palette loses nothing
    buffer = memory.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    data, width = base64.b64encode(buffer.getvalue()).decode(), round(height * image.width / image.height)
    shown = f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{escape(text)}">'
    return shown + (f"<small>{escape(note)}</small>" if note else "")


def ramp(stops: Sequence[str], low: str, high: str) -> str:
    """The legend of a colour scale."""
    bar = f'<i style="background:linear-gradient(90deg,{",".join(stops)})"></i>'
    return f'<span class="ramp">{escape(low)}{bar}{escape(high)}</span>'


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


def _visible(pixels: Tensor) -> Tensor:
    """A band without DC, known by its mean of zero, is moved to mid grey."""
    return pixels + 0.5 * (pixels.mean().abs() < 1e-4)


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

_START = """<script>
for (const figure of document.querySelectorAll("figure.chart")) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const actions = {export: true, source: false, compiled: false, editor: false};
  vegaEmbed(figure.querySelector(".vega"), spec, {renderer: "svg", actions});
}
</script>"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'">
<title>{title}</title>
<style>{style}</style>
{loader}
</head>
<body>
<header><h1>{title}</h1>{lead}</header>
<nav aria-label="Contents">{links}</nav>
<main>{body}</main>
<noscript><p>The charts need JavaScript; the tables and pictures do not.</p></noscript>
{start}
</body>
</html>
"""

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

_STYLE = """
:root { --ink: #23292f; --soft: #5d6770; --line: #e3e7ea; --link: #0072b2; --wash: #f6f8f9; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 4rem; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; text-rendering: optimizeLegibility; }
header, main, nav, noscript { max-width: 1100px; margin: 0 auto; padding: 0 32px; }
header { padding-top: 56px; }
h1 { font-size: 2.1rem; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 .8rem; font-weight: 650; }
h2 { font-size: 1.35rem; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 .7rem; font-weight: 620; }
p, li { max-width: 72ch; }
p { margin: 0 0 .9rem; }
p.lead { font-size: 1.12rem; color: #3c454d; }
ul { padding-left: 1.2rem; }
li { margin-bottom: .45rem; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
nav { position: sticky; top: 0; z-index: 2; background: #fffffff2; border-bottom: 1px solid var(--line);
  margin-top: 1.6rem; padding-top: .65rem; padding-bottom: .65rem; display: flex; flex-wrap: wrap; gap: .2rem 1.15rem; }
nav a { color: var(--soft); text-decoration: none; font-size: .9rem; white-space: nowrap; }
nav a:hover, nav a:focus { color: var(--link); text-decoration: underline; }
section { padding: 2.6rem 0 .6rem; }
section + section { border-top: 1px solid var(--line); }
figure { margin: 1.3rem 0 1.8rem; }
figcaption { color: var(--soft); font-size: .9rem; line-height: 1.5; max-width: 82ch; margin-top: .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { font-weight: 600; text-align: left; }
small { display: block; color: var(--soft); font-size: .78rem; line-height: 1.3; font-weight: 400; }
dl { display: flex; flex-wrap: wrap; gap: .8rem 2.4rem; margin: 1.2rem 0; }
dt { color: var(--soft); font-size: .82rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; max-width: 36ch; overflow: hidden; text-overflow: ellipsis; }
.values { min-width: 60%; }
.values th, .values td { padding: .45rem 1.4rem .45rem 0; vertical-align: top; line-height: 1.35; }
.values td:has(small) { white-space: nowrap; }
.values thead th { border-bottom: 1.5px solid var(--ink); font-size: .92rem; vertical-align: bottom; }
.values tbody tr + tr > * { border-top: 1px solid var(--line); }
.values tbody th { font-weight: 450; color: #3c454d; white-space: nowrap; }
.run { white-space: nowrap; }
.run i { display: inline-block; width: .72em; height: .72em; border-radius: 50%; margin-right: .45em; }
.tiles th { font-size: .85rem; padding: .2rem .8rem .35rem 0; vertical-align: middle; }
.tiles thead th { vertical-align: bottom; }
.tiles td { padding: .2rem .9rem .45rem 0; vertical-align: top; white-space: nowrap; }
.tiles img + img { margin-left: 3px; }
img { image-rendering: pixelated; border-radius: 2px; vertical-align: bottom; }
.ramp { display: inline-flex; align-items: center; gap: .5rem; font-size: .85rem; color: var(--soft);
  margin: 0 2rem .9rem 0; }
.ramp i { width: 120px; height: 10px; border-radius: 2px; }
.tabs > input { position: absolute; opacity: 0; }
.tabs > label { display: inline-block; padding: .3rem .8rem; margin: 0 .3rem .9rem 0; font-size: .88rem;
  border: 1px solid var(--line); border-radius: 99px; cursor: pointer; color: var(--soft); }
.tabs > input:checked + label { color: #fff; background: var(--ink); border-color: var(--ink); }
.tabs > input:focus-visible + label { outline: 2px solid var(--link); outline-offset: 2px; }
.panel { display: none; }
.vega { overflow-x: auto; min-height: 200px; }
.vega-embed { display: flex !important; flex-direction: column; padding-right: 30px !important; width: fit-content; }
.vega-embed svg { max-width: 100%; height: auto; }
.chart-wrapper { display: flex; flex-direction: column; }
.vega-embed .vega-bindings:not(:empty) { order: -1; font-size: .9rem; margin-bottom: .6rem; color: var(--soft); }
.vega-bind-name { display: inline-block; margin-right: .5rem; }
.vega-bindings select { font: inherit; color: var(--ink); padding: .15rem .4rem; border: 1px solid #c6cdd2;
  border-radius: 4px; background: #fff; }
@media print { nav { display: none; } section { break-inside: avoid; } }
"""
_TABS = 8
_STYLE += ",".join(f".tabs>input:nth-of-type({k}):checked~.panel:nth-of-type({k})" for k in range(1, _TABS + 1))
_STYLE += "{display:block}"
