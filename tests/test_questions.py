"""One name for each question, in every layer: stage, settings, code, chapter of the page, documentation."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from spectroscope.questions import QUESTIONS
from spectroscope.study import Study

ROOT = Path(__file__).parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHAPTERS = ROOT / "spectroscope" / "report" / "chapters"
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs" / "settings.md").read_text(), re.M)

# `study` and `counts` check the whole file, `report` shows results of other stages; most stages read `runs` and
# `statistics`.
WITHOUT_SECTION = {"study", "counts", "report"}
WITHOUT_CHAPTER = {"counts", "report"}  # a check whose only result is an error, and the page itself
SHARED_SECTIONS = {"runs", "statistics"}

each_name = pytest.mark.parametrize("name", QUESTIONS)


def test_the_stages_are_the_questions_in_their_order():
    assert list(PIPELINE) == list(QUESTIONS)


@each_name
def test_a_stage_asks_its_question(name):
    stage = PIPELINE[name].get("do", PIPELINE[name])
    assert stage["desc"] == QUESTIONS[name] and QUESTIONS[name].endswith("?")
    docstring = ast.get_docstring(ast.parse((ROOT / "stages" / f"{name}.py").read_text()))
    assert docstring.startswith(QUESTIONS[name])


def test_the_sections_of_a_study_are_named_after_the_questions():
    assert set(Study.model_fields) == (QUESTIONS.keys() - WITHOUT_SECTION) | SHARED_SECTIONS
    assert QUESTIONS.keys() >= WITHOUT_SECTION and QUESTIONS.keys().isdisjoint(SHARED_SECTIONS)


@each_name
def test_a_question_has_its_module_or_package(name):
    package = ROOT / "spectroscope" / name
    assert (package / "__init__.py").exists() != package.with_suffix(".py").exists()


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in WITHOUT_CHAPTER])
def test_a_question_has_its_chapter(name):
    assert (CHAPTERS / f"{name}.py").exists()


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name not in WITHOUT_SECTION])
def test_a_question_has_its_heading_in_the_settings(name):
    assert name in HEADINGS
