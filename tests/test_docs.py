"""The documents tell the truth: their settings are valid and complete, and what they name is there."""

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from spectroscope.dataset.sources import SOURCES
from spectroscope.pipeline import params
from spectroscope.pipeline.params import Settings
from spectroscope.study import Study

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
SECTIONS = {name: Study.__annotations__[name] for name in Study.model_fields}
STUDIES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]


def blocks(page: Path) -> list[str]:
    """The YAML blocks of a page."""
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)


def code(page: Path) -> str:
    """Code spans and blocks of a page, one on each line."""
    text = page.read_text()
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    return "\n".join([*fenced, *re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))])


def part(page: Path, section: str) -> str:
    """What stands below the heading that names a section."""
    for text in re.split(r"^## ", page.read_text(), flags=re.M)[1:]:
        if section in re.findall(r"\w+", text.splitlines()[0]):
            return text
    raise AssertionError(f"{page.name}: expected a heading with {section}")


def keys(kind: Any) -> Iterator[str]:
    """Every key of a settings class, a union or a mapping of them, and of the classes in it."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        yield from kind.model_fields
        for name in kind.model_fields:
            yield from keys(kind.__annotations__.get(name))
    for below in get_args(kind):
        yield from keys(below)


def written(settings: Any, section: str) -> Iterator[str]:
    """Every key of a section of a parameter file but the names of bands, runs, attacks and methods."""
    named = section in ("bands", "runs", "attacks", "methods")
    for key, value in settings.items():
        if not named:
            yield key
        if isinstance(value, dict):
            yield from written(value, key)


@pytest.mark.parametrize("page", [DOCS / "datasets.md", DOCS / "settings.md"], ids=lambda page: page.name)
def test_every_yaml_block_is_valid(page):
    assert blocks(page)
    for block in blocks(page):
        for section, value in yaml.load(block, params._Loader).items():
            params.validate(value, SECTIONS[section], section, page)


def test_every_kind_of_data_set_is_shown_or_named():
    page = DOCS / "datasets.md"
    shown = {yaml.safe_load(block)["dataset"]["name"] for block in blocks(page)}
    assert shown <= set(SOURCES)
    missing = [name for name in SOURCES if name not in shown and f"`{name}`" not in page.read_text()]
    assert not missing


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_the_settings_is_told_in_its_section(section):
    text = part(DOCS / "settings.md", section)
    known = set(keys(SECTIONS[section]))
    assert known
    assert [key for key in sorted(known) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_every_key_of_a_study_is_told_in_its_section(study):
    for section, settings in params.read(study).items():
        text = part(DOCS / "settings.md", section)
        assert [key for key in written(settings, section) if f"`{key}`" not in text] == [], section


def test_every_model_attack_and_choice_is_named():
    told = (DOCS / "settings.md").read_text()
    for kind in SECTIONS.values():
        for choice in choices(kind):
            assert re.search(rf"`{choice}`", told), choice


def choices(kind: Any) -> Iterator[str]:
    """Every word a setting may be."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        for name in kind.model_fields:
            yield from choices(kind.__annotations__.get(name))
    for below in get_args(kind):
        yield from [below] if isinstance(below, str) else choices(below)


def test_every_output_of_the_pipeline_is_described():
    told = (DOCS / "results.md").read_text()
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in pipeline.items():
        stage = stage.get("do", stage)
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            (path,) = out if isinstance(out, dict) else [out]
            path = re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda found: f"<{found[1].replace('key', 'run')}>", path)
            assert f"`{path.split('/', 1)[1]}" in told, f"{name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", page.read_text())
    for link in map("".join, links):
        if not link.startswith(("http://", "https://", "#", "mailto:")):
            assert (page.parent / link.split("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_stage_and_file_named_is_there(page):
    named = code(page)
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert set(re.findall(r"\bmake ([a-z]\w*)", named)) <= set(targets)
    for stage in re.findall(r"-m stages\.(\w+)", named):
        assert (ROOT / "stages" / f"{stage}.py").exists(), stage
    for path in re.findall(r"(?<![\w/])(?:studies|stages|spectroscope|tests|benchmarks)/[\w./-]*", named):
        assert (ROOT / path.rstrip(".")).exists() or f"{path}<" in named, path


def test_the_floors_told_are_those_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = [layer.split(" | ") for layer in contracts[0]["layers"]]
    rows = re.findall(r"^\| \d+ \| (.*) \|$", (DOCS / "develop.md").read_text(), re.M)
    assert [sorted(re.findall(r"`(\w+)`", row)) for row in rows] == [sorted(floor) for floor in floors]


def test_the_tables_of_the_readme_are_the_results():
    text = (ROOT / "README.md").read_text()
    filled = runpy.run_path(str(ROOT / "scripts" / "readme.py"))["filled"](text)
    assert filled == text, "run `make readme`"
    named = re.findall(r"^<!-- (\S+\.md)(?: by run)? -->$", text, re.M)
    assert text.count("<!-- end -->") == len(named) >= 1
    assert text.count("| clean accuracy |") == sum((ROOT / name).exists() for name in named)


def test_the_table_of_measures_has_every_order_and_both_runs(tmp_path):
    page = (DOCS / "measures.md").read_text()
    fill = runpy.run_path(str(ROOT / "scripts" / "readme.py"))["filled"]
    assert fill(page) == page, "run `make readme`"
    ending = "mean,low,high,n_images,n_seeds\n"
    curves = [
        "a,of,band,deletion,.1,0,.2,4,2",
        "a,of,band,insertion,.5,.4,.6,4,2",
        "a,of,coefficient,deletion,9,9,9,4,2",
    ]
    (tmp_path / "faithfulness.csv").write_text("run,order,unit,kind," + ending + "\n".join(curves))
    agree = "a,all,measures,3,.7,.6,.8,4,2\na,of,seeds,2,9,9,9,4,2"
    (tmp_path / "concordance.csv").write_text("run,method,across,raters," + ending + agree)
    (tmp_path / "signs.csv").write_text("run,statistic,n_choices,median,same_sign,sure\nb,share,8,-0.25,0.75,0.5\n")
    expected = (
        "| order | a: deletion | a: insertion |\n| --- | --- | --- |\n"
        "| of | 0.10 [0.00, 0.20] | 0.50 [0.40, 0.60] |\n\n"
        "* n = 4 images, 2 seed(s), bootstrap intervals. Kendall's W of the measures: a 0.70 [0.60, 0.80].\n"
        "* share of b: of 8 choices 75% have the sign of the median, -0.250, 50% with an interval on one side of 0.\n"
    )
    text = f"<!-- {tmp_path.name} by measure -->\n{{}}<!-- end -->\n"
    assert fill(text.format("old\n"), tmp_path.parent) == text.format(expected)


def test_a_table_by_run_has_a_row_for_each_run_and_the_caption(tmp_path):
    source = "|  | one | two |\n| --- | --- | --- |\n| clean | 1.0 % [0.5, 2.0] | 2.0 |\n| pgd | 3.0 | 4.0 |\n\nText.\n"
    (tmp_path / "results.md").write_text(source)
    fill = runpy.run_path(str(ROOT / "scripts" / "readme.py"))["filled"]
    text = "<!-- results.md by run -->\nold\n<!-- end -->\n<!-- none.md by run -->\nkept\n<!-- end -->\n"
    turned = "|  | clean | pgd |\n| --- | --- | --- |\n| one | 1.0 % [0.5, 2.0] | 3.0 |\n| two | 2.0 | 4.0 |\n\nText.\n"
    assert fill(text, tmp_path) == text.replace("old\n", turned)
    assert fill(text.replace(" by run", ""), tmp_path) == text.replace(" by run", "").replace("old\n", source)


def test_the_readme_names_every_stage_with_its_question_and_every_study():
    text = (ROOT / "README.md").read_text()
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        assert f"| `{name}` | {stage.get('do', stage)['desc']} |" in text
    for study in (ROOT / "studies").glob("*.yaml"):
        assert f"| `studies/{study.name}` |" in text
