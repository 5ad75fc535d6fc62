"""Write parameter files in the form in which DVC writes them: `python -m scripts.format_params FILE ...`.

`dvc exp run -S` writes all of params.yaml anew. In this form the values that it sets are the only lines that change.
"""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from ruamel.yaml import YAML

# DVC breaks lines after 80 columns; a longer value in a mapping on one line must not make it break that line.
WIDEST = 70


def formatted(text: str) -> str:
    """The same settings and comments as DVC writes them; a mapping with no room on its line gets a line a key.

    An empty value is null. DVC drops a comment or an empty line behind a list: a value of the same mapping takes the
    place between the two. ValueError where there is none.
    """
    while True:
        unbroken = _unbroken(text)
        content = parse_yaml_for_update(unbroken, "params.yaml")
        lines = unbroken.splitlines()
        wide = [node for node, in_list in _flow_nodes(content) if in_list or len(lines[node.lc.line]) > WIDEST]
        if not wide:
            break
        for node in wide:
            node.fa.set_block_style()
        text = dumps_yaml(content)
    text = _lists_first(dumps_yaml(content))
    rewritten = with_values(text, [])
    if rewritten != text:
        pairs = zip(text.splitlines(), rewritten.splitlines(), strict=False)
        number = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 0)
        raise ValueError(
            f"line {number}: expected a value behind the list, got a comment or an empty line: move the list"
        )
    return text


def _lists_first(text: str) -> str:
    """`text` with the last value of one line, of the same mapping, behind each list that a comment or gap follows."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        item = f"{' ' * indent}- "
        if not line.endswith(":") or start + 1 == len(lines) or not lines[start + 1].startswith(item):
            continue
        end = start + 1
        while end < len(lines) and lines[end].startswith((item, f"{' ' * indent}  ")):
            end += 1
        if end < len(lines) and lines[end].strip() and not lines[end].lstrip().startswith("#"):
            continue
        for place in range(start - 1, -1, -1):
            if not lines[place].startswith(" " * indent) or lines[place].lstrip().startswith("#"):
                break
            described = place > 0 and lines[place - 1].lstrip().startswith("#")
            if re.fullmatch(rf" {{{indent}}}[\w-]+: [^#]+", lines[place]) and not described:
                lines.insert(end - 1, lines.pop(place))
                break
    return "\n".join(lines) + "\n"


def with_values(text: str, values: list[str]) -> str:
    """`text` after `dvc exp run -S VALUE -S ...`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        apply_overrides(path, values)
        return path.read_text(encoding="utf-8")


def _unbroken(text: str) -> str:
    """`text` with every mapping and list in braces or brackets on one line."""
    yaml, stream = YAML(), io.StringIO()
    yaml.width = 10**6
    yaml.dump(yaml.load(text), stream)
    return stream.getvalue()


def _flow_nodes(node: Any, in_list: bool = False) -> Iterator[tuple[Any, bool]]:
    """The outermost mappings and lists in braces or brackets, and whether each is a list or an item of one.

    DVC writes each list with a line for each item, except of a mapping in braces. An empty one has no other form.
    """
    if not isinstance(node, dict | list) or not node:
        return
    in_list = in_list or isinstance(node, list)
    if node.fa.flow_style():
        yield node, in_list
        return
    for child in node.values() if isinstance(node, dict) else node:
        yield from _flow_nodes(child, in_list)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(formatted(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
