"""The public functions: each shows its use in its docstring, and the example runs."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

from spectroscope import api

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(thing, name):
    return doctest.DocTestFinder(recurse=False).find(
        thing, name, globs=vars(importlib.import_module(thing.__module__)).copy()
    )


@pytest.mark.parametrize("name", api.__all__)
def test_a_public_function_is_typed_and_its_example_runs(name):
    function = getattr(api, name)
    signature = inspect.signature(function)
    untyped = [key for key, value in signature.parameters.items() if value.annotation is inspect.Parameter.empty]
    assert untyped == [] and signature.return_annotation is not inspect.Signature.empty
    (example,) = examples(function, name)
    assert len(example.examples) >= 1
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(example).failed == 0


def test_the_example_of_the_module_runs():
    assert doctest.testmod(api, optionflags=OPTIONS).failed == 0


def test_no_stage_and_no_room_imports_the_public_interface():
    files = [*(ROOT / "stages").glob("*.py"), *(ROOT / "spectroscope").rglob("*.py")]
    assert [str(file) for file in files if "spectroscope.api" in file.read_text() and file.name != "api.py"] == []
