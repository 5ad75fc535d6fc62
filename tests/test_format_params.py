"""Parameter files have the form in which DVC writes them: setting one value changes one line."""

import difflib
from pathlib import Path

import pytest
import yaml

from scripts.format_params import formatted, with_values

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
def test_setting_one_value_changes_one_line(path):
    before = path.read_text(encoding="utf-8")
    places = list(numbers(yaml.safe_load(before)))
    for place in places[:: len(places) // 4]:
        if any(isinstance(key, int) for key in place):
            continue  # DVC sets a list as a whole
        after = with_values(before, [f"{'.'.join(place)}=123456"])
        changes = list(difflib.ndiff(before.splitlines(), after.splitlines()))
        assert [line.count("123456") for line in changes if line[0] == "+"] == [1], place


def test_the_form_keeps_settings_and_comments_and_breaks_no_line():
    wide = "a:\n  # why\n  b: {first: 1, second: 2, third: null, fourth: a-long-word, fifth: another-long-word}\n"
    lines = ["a:", "  # why", "  b:", "    first: 1", "    second: 2", "    third:"]
    assert formatted(wide).splitlines() == [*lines, "    fourth: a-long-word", "    fifth: another-long-word"]
    assert yaml.safe_load(formatted(wide)) == yaml.safe_load(wide)
    assert formatted("a: {b: 1}\n") == "a: {b: 1}\n"


def test_lists_have_a_line_an_item_and_no_comment_behind_them_since_dvc_would_drop_it():
    lists = "s:\n  n: 1\n  a: [1]\n  b: [2]\n\n# kept\nt: 1\n"
    assert formatted(lists) == "s:\n  a:\n  - 1\n  b:\n  - 2\n  n: 1\n\n# kept\nt: 1\n"
    assert formatted("a: [1, {b: 2}]\nc: {d: [1, 2]}\n") == "a:\n- 1\n- b: 2\nc: {d: [1, 2]}\n"
    with pytest.raises(ValueError, match="line 3: expected a value behind the list, got a comment or an empty line"):
        formatted("a:\n- 1\n# lost\nc: 1\n")
