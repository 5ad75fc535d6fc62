"""The package as it is installed: built, unpacked elsewhere, used without DVC; and the example of the README."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WITHOUT_EXTRAS = "import sys\nfor name in ('dvc', 'advertorch', 'torchvision'): sys.modules[name] = None\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds the unpacked wheel and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(program: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_gives_the_public_interface_without_the_extras(installed):
    program = "import spectroscope.api as api; print(api.__file__)\nfrom spectroscope.api import occluded_frequency"
    assert Path(run(WITHOUT_EXTRAS + program, installed).strip()).is_relative_to(installed)


def test_the_wheel_has_its_types_and_its_templates(installed):
    assert (installed / "spectroscope" / "py.typed").exists()
    templates = {file.name for file in (ROOT / "spectroscope" / "report" / "templates").iterdir()}
    assert {file.name for file in (installed / "spectroscope" / "report" / "templates").iterdir()} == templates


def test_the_command_is_part_of_the_wheel(installed):
    (entries,) = installed.glob("*.dist-info/entry_points.txt")
    assert "spectroscope = spectroscope.cli:app" in entries.read_text()
    assert run("from spectroscope.cli import app; app(['--version'])", installed).startswith("spectroscope ")


def test_make_puts_the_command_beside_python(tmp_path):
    steps = subprocess.run(["make", "-nB", "env"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.search(r"uv pip install .*--no-deps --no-build-isolation --editable \.", steps)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel:editable", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)  # what that step builds
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {Path(name).name: archive.read(name).decode() for name in archive.namelist()}
    assert files["_spectroscope.pth"].strip() == str(ROOT)
    assert "spectroscope = spectroscope.cli:app" in files["entry_points.txt"] and "Requires-Dist: editables" not in str(
        files
    )


def test_the_wheel_profiles_a_network_without_the_extras(installed, tmp_path):
    network = "nn.Sequential(nn.Flatten(), nn.Linear(3072, 8))"
    (tmp_path / "mine.py").write_text(f"from torch import nn\ndef net():\n    return {network}\n")
    program = f"import sys; sys.path.insert(0, {str(installed)!r})\nfrom spectroscope.cli import app\n"
    arguments = ["profile", "mine.py:net", "photos", "--minutes", "0.05", "--images", "16"]
    assert "The page: profile/index.html" in run(WITHOUT_EXTRAS + f"{program}app({arguments})", tmp_path)
    assert {"index.html", "profile.json", "reliance.csv"} <= {file.name for file in (tmp_path / "profile").iterdir()}


def test_the_base_needs_no_pins_and_neither_dvc_nor_advertorch():
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]]
    assert not {"dvc", "advertorch", "torchvision"} & set(names)
    assert [requirement for requirement in PROJECT["dependencies"] if "==" in requirement] == []
    extras = PROJECT["optional-dependencies"]
    assert any(each.startswith("dvc") for each in extras["pipeline"])
    assert any(each.startswith("advertorch") for each in extras["attacks"])


def test_the_example_of_the_readme_runs(installed):
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len([line for line in example.splitlines() if line.strip()]) <= 10
    lines = run(WITHOUT_EXTRAS + example, installed).splitlines()
    assert len(lines) == 32 and lines[0].startswith("shell 0: the margin falls by ")
