"""The image of the Dockerfile can be built from what it copies, and runs the command of the package."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ARGUMENTS = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.M))


def copied() -> list[tuple[str, str]]:
    """Each path that is copied, and where to."""
    lines = [line.split() for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M)]
    return [(source, target) for *sources, target in lines for source in sources]


def test_what_is_copied_exists_and_is_not_ignored():
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert sorted(kept) == sorted(source for source, _ in copied())
    assert [source for source, _ in copied() if not (ROOT / source).exists()] == []


def test_python_extras_and_command_are_those_of_the_package():
    assert PROJECT["requires-python"] == f">={ARGUMENTS['PYTHON']}"
    assert set(ARGUMENTS["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])
    (command,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.M)
    assert command in PROJECT["scripts"]


def test_what_is_copied_is_enough_to_build_the_package(tmp_path):
    for source, target in copied():
        place = tmp_path / (source if target == "./" else target)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "spectroscope"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(tracked) <= files
