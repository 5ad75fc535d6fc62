"""Write parameter files in the form in which DVC writes them: `python -m scripts.format_params FILE ...`.

`dvc exp run -S` writes all of params.yaml anew. In this form the values that it sets are the only lines that change.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from ruamel.yaml import YAML

# DVC breaks lines after 80 columns; a longer value in a mapping on one line must not make it break that line.
WIDEST = 70


def formatted(text: str) -> str:
    """The same settings and comments as DVC writes them; a mapping or list with no room on its line gets a line a key.

    An empty value is null.
    """
    while True:
        unbroken = _unbroken(text)
        content = parse_yaml_for_update(unbroken, "params.yaml")
        lines = unbroken.splitlines()
        wide = [node for node in _flow_nodes(content) if len(lines[node.lc.line]) > WIDEST]
        if not wide:
            return dumps_yaml(content)
        for node in wide:
            node.fa.set_block_style()
        text = dumps_yaml(content)


def _unbroken(text: str) -> str:
    """`text` with every mapping and list in braces or brackets on one line."""
    yaml, stream = YAML(), io.StringIO()
    yaml.width = 10**6
    yaml.dump(yaml.load(text), stream)
    return stream.getvalue()


def _flow_nodes(node: Any) -> Iterator[Any]:
    """The outermost mappings and lists in braces or brackets; an empty one has no other form."""
    if not isinstance(node, dict | list) or not node:
        return
    if node.fa.flow_style():
        yield node
        return
    for child in node.values() if isinstance(node, dict) else node:
        yield from _flow_nodes(child)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(formatted(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
