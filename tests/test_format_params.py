"""Parameter files have the form in which DVC writes them: setting one value changes one line."""

import difflib
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from scripts.format_params import formatted

ROOT = Path(__file__).parents[1]
STUDIES = [ROOT / "params.yaml", *sorted((ROOT / "studies").glob("*.yaml"))]


def numbers(node, path=()):
    """Paths of all numbers."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)
        yield from numbers(value, (*path, key))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_parameter_file_has_the_form_in_which_dvc_writes_it(path):
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text, f"run: python -m scripts.format_params {path.relative_to(ROOT)}"


@pytest.mark.parametrize("path", [ROOT / "params.yaml", ROOT / "studies" / "full.yaml"], ids=lambda path: path.name)
def test_setting_one_value_changes_one_line(path, tmp_path):
    before = path.read_text(encoding="utf-8")
    places = list(numbers(yaml.safe_load(before)))
    for place in places[:: len(places) // 8]:
        copy = tmp_path / "params.yaml"
        copy.write_text(before, encoding="utf-8")
        with modify_yaml(copy) as content:
            node = content
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = 123456
        changes = difflib.ndiff(before.splitlines(), copy.read_text(encoding="utf-8").splitlines())
        assert len([line for line in changes if line[0] == "+"]) == 1, place
        assert "123456" in copy.read_text(encoding="utf-8")


def test_the_form_keeps_settings_and_comments_and_breaks_no_line():
    wide = "a:\n  # why\n  b: {first: 1, second: [1, 2], third: null, fourth: a-long-word, fifth: another-long-word}\n"
    lines = ["a:", "  # why", "  b:", "    first: 1", "    second: [1, 2]", "    third:"]
    assert formatted(wide).splitlines() == [*lines, "    fourth: a-long-word", "    fifth: another-long-word"]
    assert yaml.safe_load(formatted(wide)) == yaml.safe_load(wide)
    assert formatted("a: {b: 1}\n") == "a: {b: 1}\n"
