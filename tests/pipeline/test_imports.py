"""The files that a module imports, by its source."""

import pytest

from spectroscope.pipeline.imports import imported_files

FILES = {
    "networks/__init__.py": "",
    "networks/mine.py": "import torch\nfrom networks.blocks import Block\n\ndef net():\n    from . import lazy\n",
    "networks/blocks/__init__.py": "from .base import Block\n",
    "networks/blocks/base.py": "from ...outside import nothing\n",
    "networks/lazy.py": "import networks.mine\n",
    "networks/unused.py": "",
}


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(root, module="networks.mine"):
    return [file.relative_to(root).as_posix() for file in imported_files(module, "networks", root)]


def test_a_module_and_what_it_imports_in_its_folder_are_found_once(root):
    blocks = ["networks/blocks/__init__.py", "networks/blocks/base.py"]
    assert names(root) == ["networks/__init__.py", *blocks, "networks/lazy.py", "networks/mine.py"]
    assert names(root, "networks.unused") == ["networks/__init__.py", "networks/unused.py"]


@pytest.mark.parametrize("module", ["networks.none", "mine", "networksmine"])
def test_a_module_elsewhere_is_refused(root, module):
    (root / "mine.py").write_text("")
    with pytest.raises(ValueError, match=f"expected a module in the folder networks/, found no {module}$"):
        names(root, module)


def test_an_import_of_an_unwatched_file_is_refused(root):
    (root / "helper.py").write_text("")
    (root / "networks" / "lazy.py").write_text("import helper\n")
    with pytest.raises(
        ValueError, match=r"networks/lazy\.py: expected imports from .*, got helper, whose file helper\.py"
    ):
        names(root)


def test_a_file_that_is_not_python_is_named(root):
    (root / "networks" / "lazy.py").write_text("def\n")
    with pytest.raises(ValueError, match=r"networks/lazy\.py: expected Python, got: "):
        names(root)
