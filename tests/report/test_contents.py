"""The page stands alone, has a chapter for every stage, and a browser draws every chart."""

import html
import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import report_tables
import vl_convert
import yaml
from report_pages import Elements, unpacked
from report_tables import ATTACKS, BANDS, CLASSES, RUNS

from spectroscope.pipeline import io
from spectroscope.questions import QUESTIONS
from spectroscope.report import contents
from spectroscope.report.chapters import attacks, attribution, bands, dataset, information
from stages import perturbation, report

ROOT = Path(__file__).parents[2]
# Written into a copy of the page: what is wider than its place once the charts are drawn.
MEASURE = """<script>setTimeout(() => {
  const wide = [...document.querySelectorAll("body, .wide, .vega")].filter(each => each.scrollWidth > each.clientWidth);
  document.body.dataset.wide = wide.map(each => each.textContent.trim().slice(0, 40)).join(" | ") || "nothing";
}, 10000)</script>"""


def make_page(root: Path) -> str:
    folders = {name: root / name for name in ("tables", "bands", "attacks", "attribution")}
    files = {"warnings": "warnings.json", "maps": "maps.parquet", "images": "images.parquet"}
    files |= {"out": "out/index.html", "summary": "out/results.md", "overview": "out/overview.svg"}
    report.main(**folders, **{name: root / file for name, file in files.items()})
    return (root / "out/index.html").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    report_tables.write_study(root)
    return root


@pytest.fixture(scope="module")
def text(study):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study)
        return make_page(study)


@pytest.fixture
def copy(study, tmp_path, monkeypatch):
    """The study without its page, to be changed."""
    root = tmp_path / "study"
    shutil.copytree(study, root, ignore=shutil.ignore_patterns("out"))
    monkeypatch.chdir(root)
    return root


def test_every_stage_has_a_chapter_that_begins_with_its_question(text):
    names = re.findall(r'<section id="([^"]*)">', text)
    assert set(names) == QUESTIONS.keys() - {"report", "counts"} | {"limits"} and names[-1] == "study"
    for name in names:
        heading = html.unescape(re.search(rf'<section id="{name}">\s*<h2><small>[^<]*</small>([^<]*)</h2>', text)[1])
        assert heading == QUESTIONS.get(name, heading) and heading.endswith("?")


def test_every_entry_of_the_contents_leads_to_its_chapter(text):
    assert re.findall(r'<a href="#([^"]*)">', text) == re.findall(r'<section id="([^"]*)">', text)


def test_the_page_asks_for_nothing_outside_it(text):
    markup = text.replace(re.search(r'const packed = "([^"]*)"', text)[1], "")
    links = re.findall(r"""(?:src|href|action|data)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import (\S*)""", markup)
    assert links and all("".join(link).startswith(("#", "data:image/png;base64,")) for link in links)
    urls = set(re.findall(r"https?://[^\"' <]*", markup))
    assert all(url.startswith("https://vega.github.io/schema/vega-lite/") for url in urls)  # $schema, never fetched
    assert "default-src 'none'; img-src data:;" in text and "connect-src" not in text


def test_the_page_holds_the_libraries_once(text):
    assert text.count("const packed = ") == 1
    assert unpacked(text) == vl_convert.javascript_bundle()


def test_the_page_names_every_run_band_and_attack(text):
    for name in [*RUNS[:4], *BANDS, *ATTACKS, *CLASSES]:
        assert f">{name}<" in text


def test_the_result_table_shows_the_numbers_of_the_table(text, study):
    row = io.read_table(study / "tables/accuracy.csv").iloc[0]
    low, high = 100 * row["low"], 100 * row["high"]
    assert f">{100 * row['mean']:.1f} %<small>[{low:.1f}, {high:.1f}]</small></td>" in text
    assert f" {100 * row['mean']:.1f} % [{low:.1f}, {high:.1f}] " in (study / "out/results.md").read_text()


def test_a_setting_is_told_in_words(text):
    assert "pgd, random_start yes, eps none" in text and "95%, over networks and images" in text
    assert re.search(r'<dt>digest</dt><dd title="abc">abc</dd>', text)


def test_one_of_a_thing_is_told_in_the_singular():
    tables = report_tables.tables(2, n_seeds=1)
    tables = {name: table.assign(n_images=1) if "n_images" in table else table for name, table in tables.items()}
    page = contents.write(report_tables.study(tables=tables))
    assert "1 network a run;" in page and "1 test image," in page
    assert not re.search(r"\b1 (seeds|networks|test images|images|intervals|perturbations)\b", page)


def test_a_class_named_like_markup_leaves_the_page_whole():
    def tags(classes: list[str]) -> list[str]:
        tables = {name: report_tables.tables(1)[name] for name in ("class_occluded_frequency", "class_spectra")}
        tables = {
            name: rows.replace({"class": dict(zip(CLASSES, classes, strict=True))}) for name, rows in tables.items()
        }
        images = replace(report_tables.images(), classes=tuple(classes))
        results = report_tables.study(1, images=images, bands=dict.fromkeys(BANDS, images), tables=tables)
        shown = [chapter.blocks(results) for chapter in (attacks, attribution, bands, dataset, information)]
        return Elements("".join(itertools.chain(*shown))).tags

    assert tags(["<!--<script>", "</script>", "a|`b"]) == tags(CLASSES)


def test_a_missing_table_is_named_and_nothing_is_written(copy):
    (copy / "tables/band_accuracy.csv").unlink()
    with pytest.raises(ValueError, match=r"band_accuracy\.csv: expected a table, found no file"):
        make_page(copy)
    assert not (copy / "out").exists()


def test_a_study_whose_attacks_fool_nobody_gets_its_page(copy):
    for path in (copy / "attacks").rglob("*.parquet"):
        change, rows, _ = io.read_arrays(path)
        io.write_arrays(path, change, rows.assign(success=False))
    settings, smoke = (yaml.safe_load(path.read_text()) for path in (copy / "params.yaml", ROOT / "studies/smoke.yaml"))
    settings |= {name: smoke[name] for name in ("perturbation", "statistics")}
    (copy / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    files = copy / "maps.parquet", copy / "classes.parquet"
    perturbation.main(copy / "images.parquet", copy / "attacks", *files, copy / "tables", copy / "estimates.parquet")
    for name in ("perturbation", "calibrated", "phase", "split_half"):
        assert io.read_table(copy / f"tables/{name}.csv").empty
    assert "No attack fooled any network" in make_page(copy)


def browser(page: Path, width: int, profile: Path) -> subprocess.CompletedProcess:
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += f" --disable-component-update --disable-sync --virtual-time-budget=20000 --window-size={width},1000"
    call = ["chromium", *options.split(), "--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom"]
    return subprocess.run([*call, page.as_uri()], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_every_chart_without_an_error_and_nothing_wider_than_a_telephone(text, tmp_path):
    page = tmp_path / "index.html"
    telephone = text.replace("<body>", '<body style="width: 390px">')  # chromium opens no window narrower than 500
    page.write_text(telephone.replace("</body>", MEASURE + "</body>"))
    ran = browser(page, 500, tmp_path / "profile")
    assert [line for line in ran.stderr.splitlines() if "CONSOLE" in line] == []
    charts = text.count('<figure class="chart">')
    assert charts >= 15
    assert ran.stdout.count('class="marks"') == charts
    assert re.search(r'data-wide="([^"]*)"', ran.stdout)[1] == "nothing"


def test_a_claim_shows_why_its_margin_and_what_its_control_cannot_take_away(text):
    (row,) = re.findall(r'<tr class="supported">.*?</tr>', text, re.DOTALL)
    assert "<details><summary>margin and control</summary>a fifth</details>" in row
