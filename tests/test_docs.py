"""The documents tell the truth: what they name exists, their settings are valid, their tables and pages render."""

import importlib.util
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import yaml

from spectroscope.pipeline import io, params
from spectroscope.pipeline.params import Settings
from spectroscope.study import Study

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
TEMPLATES = sorted((ROOT / "spectroscope" / "report").rglob("*.html"))
STUDIES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]
SECTIONS = {name: Study.__annotations__[name] for name in Study.model_fields}
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: entry.get("do", entry) for name, entry in PIPELINE.items()}
OLD_STAGES = "check|fetch|describe|filter|train|attack|evaluate|strength|perturb|attribute|examine|compare|weigh"
# Names that something had before, each a pattern. Ordinary words among them count only where they name that thing.
RETIRED = {
    "stages of old": rf"stages?\.(?:{OLD_STAGES})\b|\bstages? `(?:{OLD_STAGES})`|\b(?:{OLD_STAGES})@",
    "names of old": r"`(?:check|fetch|describe|filter|evaluate|strength|perturb|attribute|weigh|given|measures?)`",
    "the validation attack": r"\bjudge\w*",
    "probing": r"\bexamin(?:e|es|ed|ation)\b",
    "validation": r"\bweigh(?:s|ed|ing)?\b",
    "a method": r"(?:\b(?:an?|the|this|these|each|every|no|all|other|of|by|\d+) |\*)measures?\b|measures? of\b",
    "a rerun of what DVC does not see": r"dvc (?:repro|exp run)[^`\n]*(?: -f\b| --force\b)",
    "tables": r"\b(?:measures|measure_reliance)\.csv|(?<!attack_)\btransfer\.csv",
}
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def without_generated(text: str) -> str:
    """The text without what `scripts/readme.py` puts between markers."""
    return re.sub(r"<!-- (?!end).*?<!-- end -->", "", text, flags=re.S)


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def yaml_blocks(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)


def code(page: Path) -> str:
    """Code blocks and code spans of a page, one on each line."""
    text = page.read_text()
    blocks = re.findall(r"^```(?!python\n# spec|diff)\w*\n(.*?)^```", text, re.M | re.S)  # no files of an example
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", without_code_blocks(text))])


def section_of(page: Path, name: str) -> str:
    """The text below the heading that contains a name, up to the next heading."""
    for text in re.split(r"^## ", page.read_text(), flags=re.M)[1:]:
        if name in re.findall(r"\w+", text.splitlines()[0]):
            return text
    raise AssertionError(f"{page.name}: expected a heading with {name}")


def tables(page: Path) -> list[list[str]]:
    """Rows of each table outside code blocks; a table ends at the first line that is not a row."""
    text = without_code_blocks(page.read_text())
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\n?)+", text, re.M)]


def keys(kind: Any) -> Iterator[str]:
    """Every key of a settings class, or of the classes in a union or mapping, nested ones included."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        yield from kind.model_fields
        for name in kind.model_fields:
            yield from keys(kind.model_fields[name].annotation)
    for argument in get_args(kind):
        yield from keys(argument)


def choices(kind: Any) -> Iterator[str]:
    """Every word that a setting may be."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        for name in kind.model_fields:
            yield from choices(kind.model_fields[name].annotation)
    for argument in get_args(kind):
        yield from [argument] if isinstance(argument, str) else choices(argument)


def keys_of_study(settings: dict[str, Any], section: str) -> Iterator[str]:
    """Every key in a section of a parameter file, without names that a study gives."""
    for key, value in settings.items():
        if section not in ("bands", "runs", "attacks", "methods", "claims", "where", "less"):
            yield key
        if isinstance(value, dict):
            yield from keys_of_study(value, key)


@pytest.mark.parametrize("name", ["dataset.md", "settings.md", "training.md"])
def test_every_yaml_block_is_valid(name):
    blocks = yaml_blocks(DOCS / name)
    assert blocks
    for block in blocks:
        for section, value in yaml.load(block, params._Loader).items():
            params.validate(value, SECTIONS[section], section, name)


def test_every_kind_of_data_set_is_shown_or_named():
    page = DOCS / "dataset.md"
    shown = {yaml.safe_load(block)["dataset"]["name"] for block in yaml_blocks(page)}
    union, *_ = get_args(SECTIONS["dataset"])
    kinds = {name for kind in get_args(union) for name in get_args(kind.__annotations__["name"])}
    assert shown <= kinds
    assert [name for name in kinds - shown if f"`{name}`" not in page.read_text()] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_the_settings_is_described_in_its_section(section):
    text = section_of(DOCS / "settings.md", section)
    known = set(keys(SECTIONS[section]))
    assert known
    assert [key for key in sorted(known) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_every_key_of_a_study_is_described_in_its_section(study):
    for section, settings in params.read(study).items():
        text = section_of(DOCS / "settings.md", section)
        assert [key for key in keys_of_study(settings, section) if f"`{key}`" not in text] == [], section


def test_every_model_attack_and_choice_is_named():
    text = (DOCS / "settings.md").read_text()
    assert [word for kind in SECTIONS.values() for word in choices(kind) if f"`{word}`" not in text] == []


def test_every_output_of_the_pipeline_is_described():
    text = (DOCS / "results.md").read_text()
    for name, stage in STAGES.items():
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            (path,) = out if isinstance(out, dict) else [out]
            path = re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda match: f"<{match[1].replace('key', 'run')}>", path)
            assert f"`{path.split('/', 1)[1]}" in text, f"{name}: {path}"


@named
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", page.read_text())
    for link in map("".join, links):
        if not link.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / link.split("#")[0]).exists(), link


@named
def test_every_target_stage_and_file_named_exists(page):
    text = code(page)
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert set(re.findall(r"\bmake ([a-z]\w*)", text)) <= set(targets)
    for stage in re.findall(r"-m stages\.(\w+)", text):
        assert (ROOT / "stages" / f"{stage}.py").exists(), stage
    folders = "studies|stages|spectroscope|tests|benchmarks|scripts|docs"
    for path in re.findall(rf"(?<![\w/])(?:{folders})/[\w./-]*", text):
        assert (ROOT / path.rstrip(".")).exists() or f"{path}<" in text, path


def test_every_document_that_code_and_settings_name_exists():
    folders = ("spectroscope", "stages", "studies", "benchmarks", "scripts", "tests")
    files = [
        ROOT / "params.yaml",
        ROOT / "Makefile",
        *(file for folder in folders for file in (ROOT / folder).rglob("*.*")),
    ]
    for file in files:
        if file.suffix in (".py", ".yaml", ".sh", "") and file != Path(__file__):
            names = re.findall(r"docs/[\w-]+\.md", file.read_text())
            assert [name for name in names if not (ROOT / name).exists()] == [], file


@named
def test_every_row_of_a_table_has_as_many_cells_as_its_header(page):
    """GitHub splits cells at every `|` that is not escaped, those in code spans included.

    A row after a blank line would begin a new table, whose second row is no delimiter.
    """
    for header, *rows in tables(page):
        assert rows and re.fullmatch(r"\|(?: *:?-{3,}:? *\|)+", rows[0]), f"no delimiter below: {header}"
        for row in [header, *rows]:
            assert row.endswith("|"), row
            bars = [len(re.findall(r"(?<!\\)\|", line)) for line in (header, row)]
            assert bars[0] == bars[1], row


def test_every_term_of_the_glossary_is_defined_once_and_they_are_sorted():
    (rows,) = tables(DOCS / "glossary.md")
    terms = [re.match(r"\| \*\*(.+?)\*\* \| \S", row)[1].casefold() for row in rows[2:]]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize(
    "file", [*sorted(DOCS.glob("*.md")), ROOT / "README.md", *TEMPLATES], ids=lambda file: file.name
)
def test_no_retired_word_is_used(file):
    text = without_generated(file.read_text())
    found = {name: re.findall(pattern, text, re.I) for name, pattern in RETIRED.items()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The documents as mkdocs builds them; a broken link, anchor or reference fails the build."""
    if not all(map(importlib.util.find_spec, ("mkdocs", "mkdocstrings"))):
        pytest.skip("mkdocs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_every_table_is_rendered(site):
    for page in DOCS.glob("*.md"):
        body = (site / f"{page.stem}.html").read_text().split('role="main"')[1].split("<footer")[0]
        assert body.count("<table") == len(tables(page)), page.name


def test_the_built_pages_load_nothing_from_elsewhere_and_lead_somewhere(site):
    for file in set(site.rglob("*.html")) - {site / "404.html"}:  # 404 has absolute links, for a server
        text = file.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)\b[^>]*\bsrc=\"([^\"]+)|<link\b[^>]*\bhref=\"([^\"]+)", text)
        assert [link for link in map("".join, loaded) if re.match(r"\w+:|//", link)] == [], file.name
        for link in re.findall(r"<a\b[^>]*\bhref=\"([^\"#]+)", text):
            assert re.match(r"https?:", link) or (file.parent / link).exists(), f"{file.name}: {link}"
    for file in site.rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", file.read_text()) == [], file.name


def generated(text: str, root: Path = ROOT) -> str:
    return runpy.run_path(str(ROOT / "scripts" / "readme.py"))["filled"](text, root)


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *(DOCS / f"{name}.md" for name in ("studies", "validation", "answers"))],
    ids=lambda p: p.name,
)
def test_what_stands_between_markers_is_what_the_results_say(page):
    text = page.read_text()
    assert generated(text) == text, "run `make readme`"
    assert text.count("<!-- end -->") == len(re.findall(r"^<!-- (?!end)", text, re.M)) >= 1


def write_study(folder: Path, **tables: list[dict[str, Any]]) -> None:
    for name, rows in tables.items():
        io.write_table(folder / f"{name}.csv", pd.DataFrame(rows))


def test_the_table_of_methods_has_every_order_beside_that_by_energy(tmp_path):
    n = {"unit": "band", "n_images": 4, "n_seeds": 3}
    order = {"run": "a", "kind": "deletion", "mean": 0.1, "low": 0.0, "high": 0.2} | n
    less = {"less_energy": -0.02, "less_energy_low": -0.03, "less_energy_high": -0.01}
    none = dict.fromkeys(less, float("nan"))
    two = less | dict.fromkeys(("less_energy_low", "less_energy_high"), float("nan"))
    curves = [{**order, "order": "it", **less}, {**order, "order": "energy", **none}]
    curves += [
        {**order, "kind": "insertion", "order": "it", **two},
        {**order, "kind": "insertion", "order": "energy", **none},
    ]
    w = {"run": "a", "method": "all", "across": "methods", "raters": 3, "mean": 0.7, "low": float("nan"), "high": 0.0}
    sign = {"run": "b", "statistic": "share", "n_choices": 8, "median": -0.25, "same_sign": 0.75, "sure": 0.5}
    write_study(tmp_path / "docs" / "study", faithfulness=curves, concordance=[w], signs=[sign])
    text = generated("<!-- docs/study by method -->\nold\n<!-- end -->\n", tmp_path)
    assert "| it | 0.100; -20 [-30, -10] | 0.100; -20 |\n| energy | 0.100 | 0.100 |\n" in text
    assert "methods: a 0.70." in text and "75% have the sign of the median, -0.250, 50% with an interval" in text


def test_the_table_of_networks_has_accuracies_reliance_and_stars(tmp_path):
    ends = {"mean": 0.5, "low": 0.4, "high": 0.6}
    accuracy = [{"run": run, "attack": attack, **ends} for run in "ab" for attack in ("clean", "pgd 2/255", "square")]
    centroid = {"run": "a", "score": "margin", "statistic": "centroid", "mean": 15.5, "low": 15.0, "high": 16.0}
    share = {"run": "a", "score": "margin", "statistic": "hf_share", "marked": True, **ends}
    confined = [
        {"run": run, "entry": "confined-64", "band": band, **ends} for run in "ab" for band in ("low", "middle", "high")
    ]
    lost = {"run": "a", "band": "high", "change": "without", "measure": "accuracy", **ends}
    tables = {"reliance": [{**centroid, "marked": False}, share], "confined": confined, "band_loss": [lost]}
    write_study(tmp_path / "docs" / "study", accuracy=accuracy, **tables)
    text = generated("<!-- docs/study by network -->\nold\n<!-- end -->\n", tmp_path)
    half = "50 % [40, 60]"
    assert f"| a | {half} | {half} | 15.5 [15.0, 16.0] | {half} * | {half} | {half} | {half} | {half} |" in text
    assert f"| b | {half} | {half} | at chance | at chance | at chance |" in text


def test_the_readme_names_every_stage_with_its_question():
    text = (ROOT / "README.md").read_text()
    assert [name for name, stage in STAGES.items() if f"| `{name}` | {stage['desc']} |" not in text] == []


def test_every_study_is_listed():
    text = (DOCS / "studies.md").read_text()
    assert [
        study.name for study in (ROOT / "studies").glob("*.yaml") if f"| `studies/{study.name}` |" not in text
    ] == []
