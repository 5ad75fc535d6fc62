"""The notebook of the docs runs from top to bottom, in an empty folder, and is committed without its outputs."""

import ast
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL.Image import Image

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOK = json.loads((DOCS / "tour.ipynb").read_text())
CELLS = [("".join(cell["source"]), cell) for cell in NOTEBOOK["cells"]]


def executed(text: str, names: dict) -> object:
    """The value of a cell's last line, as a notebook shows it; None where that is no expression."""
    tree = ast.parse(text)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "tour.ipynb", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "tour.ipynb", "eval"), names)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> dict[str, object]:
    """The names that the cells leave behind, and the value that each cell of code shows."""
    names, values = {"__name__": "__main__"}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tour"))
        for text, cell in CELLS:
            if cell["cell_type"] == "code":
                values.append(executed(text, names))
        names["files"] = {path.name for path in Path("tour").iterdir()}
    return {"names": names, "values": values}


def test_the_notebook_has_no_outputs_and_a_form_that_notebooks_have():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for _, cell in CELLS}) == len(CELLS) <= 25
    for text, cell in CELLS:
        assert cell["cell_type"] in ("markdown", "code")
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
        for link in re.findall(r"\]\(([\w.]+)\)", text):
            assert (DOCS / link).exists(), link


def test_every_cell_runs_and_says_what_its_heading_promises(shown):
    names, values = shown["names"], shown["values"]
    assert {"index.html", "profile.json", "whole_bands.csv", "attacks.csv"} <= names["files"]
    assert sum(isinstance(value, pd.DataFrame) for value in values) == 2
    assert sum(isinstance(value, Image) for value in values) == 2
    accuracies = next(value for value in values if isinstance(value, dict))
    assert accuracies["standard"] > 0.4  # chance is 1 in 6


def test_the_network_trained_on_low_passed_images_relies_less_on_the_others(shown):
    difference = shown["names"]["difference"]
    assert difference.mean > 0 and difference.low > 0
