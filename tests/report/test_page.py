"""The page stands alone: nothing outside it is asked for, and a browser draws every chart."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
import torch
import vl_convert
import yaml
from test_evidence import computed, mapped
from test_figures import ATTACKS, BANDS, CLASSES, runs, tables

from spectroscope.pipeline import io
from spectroscope.report import page
from stages import perturbation as perturb
from stages import report

ROOT = Path(__file__).parents[2]
N, SIZE = 12, 8


def write_study(root: Path) -> None:
    """Files of a study that never ran, where the pipeline leaves them."""
    generator = torch.Generator().manual_seed(0)
    pixels, labels = torch.rand(N, 3, SIZE, SIZE, generator=generator), torch.arange(N) % len(CLASSES)
    io.write_images(root / "images.parquet", io.Images(pixels, labels, tuple(CLASSES)))
    for band in BANDS:
        kept = pixels if band == "full" else pixels - pixels.mean((2, 3), keepdim=True)
        io.write_images(root / "bands" / band / "test.parquet", io.Images(kept, labels, tuple(CLASSES)))
    rows = pd.DataFrame({"seed": np.repeat([0, 1], N), "image": [*range(N)] * 2, "label": [*labels.tolist()] * 2})
    rows["before"], rows["after"] = np.where(rows["image"] < 8, rows["label"], (rows["label"] + 1) % 3), 1
    rows["variant"], rows["success"] = "", rows["image"] >= 7  # of these only image 7 was right before
    for run in runs(4):
        for attack in ATTACKS:
            changes = torch.randn(2 * N, 3, SIZE, SIZE, generator=generator) / 255
            io.write_arrays(root / "attacks" / run / f"{attack}.parquet", changes, rows)
    for name, table in tables().items():
        io.write_table(root / ("maps.parquet" if name == "maps" else f"tables/{name}.csv"), table)
    for name, table in computed(runs(4)).items():
        io.write_table(root / f"tables/{name}.csv", table)
    for run, maps in mapped(runs(4)).items():
        io.write_table(root / "attribution" / run / "maps.parquet", maps)
    io.write_json(
        root / "metrics.json", {"about": {"device": "cpu", "threads": 2, "digest": "abc"}, "runs": {}, "warnings": {}}
    )
    settings = {
        "runs": {run: {"band": "full", "regime": {"name": "standard"}, "model": "resnet8"} for run in runs(4)},
        "attacks": {attack: {"method": "fgsm", "eps_255": 8} for attack in ATTACKS},
        "bands": {band: {"keep": "all", "clip": False} for band in BANDS},
        "statistics": {"confidence": 0.95},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))


def make_page(root: Path) -> str:
    parts = {name: root / name for name in ("tables", "bands", "attacks", "attribution")}
    files = {"metrics": "metrics.json", "maps": "maps.parquet", "images": "images.parquet"}
    files |= {"out": "out/index.html", "summary": "out/results.md", "overview": "out/overview.svg"}
    report.main(**parts, **{name: root / file for name, file in files.items()})
    return (root / "out/index.html").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_study(root)
    return root


@pytest.fixture(scope="module")
def made(study):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study)
        return make_page(study)


def references(text: str) -> set[str]:
    """Whatever a browser would fetch or follow."""
    return set(re.findall(r"""(?:src|href|action|data)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import (\S*)""", text))


def unpacked(text: str) -> str:
    return zlib.decompress(base64.b64decode(re.search(r'const packed = "([^"]*)"', text)[1])).decode()


def test_the_page_asks_for_nothing_outside_it(made):
    markup = made.replace(re.search(r'const packed = "([^"]*)"', made)[1], "")
    found = {"".join(parts) for parts in references(markup)}
    assert found
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found)
    urls = set(re.findall(r"https?://[^\"' <]*", markup))
    assert all(url.startswith("https://vega.github.io/schema/vega-lite/") for url in urls)  # $schema, never fetched


def test_the_page_forbids_every_request(made):
    assert "default-src 'none'; img-src data:;" in made
    assert "connect-src" not in made


def test_the_page_holds_the_libraries_once(made):
    assert made.count("const packed = ") == 1
    assert unpacked(made) == vl_convert.javascript_bundle()


def test_every_entry_of_the_contents_leads_to_its_section(made):
    links = re.findall(r'<a href="#([^"]*)">', made)
    assert links == re.findall(r'<section id="([^"]*)">', made)
    assert len(links) == len(set(links)) >= 11


def test_the_page_names_every_run_band_and_attack(made):
    for name in [*runs(4), *BANDS, *ATTACKS, *CLASSES]:
        assert f">{name}<" in made


def test_the_result_table_shows_the_numbers_of_the_table(made, study):
    row = io.read_table(study / "tables/accuracy.csv").iloc[0]
    low, high = 100 * row["low"], 100 * row["high"]
    assert f"<td>{100 * row['mean']:.1f} %<small>[{low:.1f}, {high:.1f}]</small></td>" in made


def test_a_missing_table_is_named_and_nothing_is_written(study, tmp_path, monkeypatch):
    shutil.copytree(study, tmp_path / "study")
    (tmp_path / "study/tables/band_accuracy.csv").unlink()
    shutil.rmtree(tmp_path / "study/out", ignore_errors=True)
    monkeypatch.chdir(tmp_path / "study")
    with pytest.raises(ValueError, match=r"band_accuracy\.csv: expected a table, found no file"):
        make_page(tmp_path / "study")
    assert not (tmp_path / "study/out").exists()


def test_where_no_attack_fooled_any_network_the_page_says_so(study, tmp_path, monkeypatch):
    root = tmp_path / "study"
    shutil.copytree(study, root)
    for cell in (root / "attacks").rglob("*.parquet"):
        change, rows, _ = io.read_arrays(cell)
        io.write_arrays(cell, change, rows.assign(success=False))
    told, toy = ((yaml.safe_load(path.read_text())) for path in (root / "params.yaml", ROOT / "studies/smoke.yaml"))
    told |= {name: toy[name] for name in ("perturbation", "statistics")}
    (root / "params.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    monkeypatch.chdir(root)
    files = root / "maps.parquet", root / "classes.parquet"
    perturb.main(root / "images.parquet", root / "attacks", *files, root / "tables")
    for name in ("perturbation", "calibrated", "phase", "split_half"):
        assert io.read_table(root / f"tables/{name}.csv").empty
    made = make_page(root)
    assert "No attack fooled any network" in made
    assert "Against noise" not in made and "RCT maps" in made


def test_an_attack_that_fooled_no_image_has_no_map(study, tmp_path, monkeypatch):
    shutil.copytree(study, tmp_path / "study")
    maps = io.read_table(study / "maps.parquet")
    io.write_table(tmp_path / "study/maps.parquet", maps[(maps["run"] != "standard") | (maps["attack"] != "pgd")])
    monkeypatch.chdir(tmp_path / "study")
    assert make_page(tmp_path / "study").count("no image fooled") == 4  # each estimator, and against noise


@pytest.mark.parametrize(
    ("values", "share", "text"),
    [
        ((0.7321, 0.71, 0.7512), True, "73.2 % [71.0, 75.1]"),
        ((16.94, 16.1, 17.8), False, "16.9 [16.1, 17.8]"),
        ((0.5, float("nan"), float("nan")), True, "50.0 %"),
        ((float("nan"), 0.1, 0.2), True, "-"),
    ],
)
def test_numbers_are_written_with_their_interval(values, share, text):
    assert page.number(*values, share) == text


def test_text_cannot_break_the_page():
    frame = pd.DataFrame({"run": ["<b>"], "value": ["</script> & `code`"]})
    text = page.table(frame, "a < b", {})
    assert "<b>" not in text
    assert "&lt;/script&gt; &amp; <code>code</code>" in text
    chart = alt.Chart(alt.Data(values=[{"name": "</script>"}])).mark_point()
    assert page.chart(chart).count("</script>") == 1


def test_more_tabs_than_rules_are_refused():
    with pytest.raises(ValueError, match="tabs many: expected at most 8 panels, got 9"):
        page.tabs("many", {str(i): "" for i in range(9)})


def test_the_plots_template_has_the_libraries_and_a_place_for_the_plots(tmp_path):
    page.write_plots_template(tmp_path / "offline.html")
    text = (tmp_path / "offline.html").read_text()
    assert text.count("{plot_divs}") == 1
    assert "{scripts}" not in text  # where DVC would put its CDN
    assert not references(text)
    assert unpacked(text) == vl_convert.javascript_bundle()


def test_the_committed_plots_template_is_the_one_page_writes(tmp_path):
    page.write_plots_template(tmp_path / "offline.html")
    committed, fresh = (ROOT / ".dvc/plots/offline.html").read_text(), (tmp_path / "offline.html").read_text()
    assert unpacked(committed) == unpacked(fresh)
    packed = r'const packed = "[^"]*"'
    assert re.sub(packed, "", committed) == re.sub(packed, "", fresh)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_every_chart_and_reports_no_error(made, study, tmp_path):
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --virtual-time-budget=20000 --enable-logging=stderr"
    address = (study / "out/index.html").as_uri()
    call = ["chromium", *options.split(), f"--user-data-dir={tmp_path}", "--dump-dom", address]
    ran = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert [line for line in ran.stderr.splitlines() if "CONSOLE" in line] == []
    charts = made.count('<figure class="chart">')
    assert charts >= 6
    assert ran.stdout.count('class="marks"') == charts


def test_what_dvc_plots_gives_each_number_a_place_of_its_own():
    """Bars or points of several runs at one place would be added up or joined by a line."""
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]:
        (about,) = plot.values()
        ((path, y),) = about["y"].items()
        panel = json.loads((ROOT / ".dvc/plots" / f"{about['template']}.json").read_text())["facet"]["field"]
        place = next(column for column in (about["x"], y) if column != "mean")
        table = io.read_table(ROOT / path)
        assert {panel, place, "mean"} <= set(table.columns)
        assert not table.duplicated([panel, place]).any() and table.duplicated(place).any()
