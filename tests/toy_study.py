"""A small DVC project of quick commands for tests of the driver: a grid, all kinds of outputs, failures to order."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIPELINE = """
stages:
  study:
    cmd: python toy.py data/study --read .gitignore --seconds ${seconds.study}
    params: [{params.yaml: }]
    deps: [toy.py]
    outs: [{data/study: {persist: true}}]
  images:
    cmd: python toy.py data/images.txt data/other.txt --read data/study
    params: [images]
    deps: [data/study, toy.py]
    outs: [data/images.txt, data/other.txt]
  training:
    foreach: ${runs}
    do:
      cmd: python toy.py data/models/${key} --read data/images.txt --say ${item.say} --seconds ${seconds.training}
      params: ["runs.${key}"]
      deps: [data/images.txt, toy.py]
      outs: ["data/models/${key}"]
  attacks:
    matrix: {run: "${runs}", attack: "${attacks}"}
    cmd: >-
      python toy.py data/attacks/${item.run}-${item.attack}.txt --read data/models/${item.run}
      --seconds ${seconds.attacks}
    params: ["runs.${item.run}", "attacks.${item.attack}"]
    deps: ["data/models/${item.run}", toy.py]
    outs: ["data/attacks/${item.run}-${item.attack}.txt"]
  findings:
    cmd: python toy.py data/findings.txt reports/metrics.json reports/table.csv --read data/attacks
    params: [attacks]
    deps: [data/attacks, data/other.txt, toy.py]
    outs: [data/findings.txt, {reports/table.csv: {cache: false}}]
    metrics: [{reports/metrics.json: {cache: false}}]
"""
PARAMS = """
images: {n: 4}
runs:
  a: {say: one}
  b: {say: two}
  c: {say: three}
attacks:
  weak: {eps: 1}
  strong: {eps: 2}
seconds: {study: 0, training: 0, attacks: 0}
"""
# Writes what it read and said. `--say fail` fails; a second of work is a second of sleep, in which it may be killed.
PROGRAM = """
import hashlib, json, os, pathlib, sys, time
arguments = sys.argv[1:]
options = dict(zip(arguments, arguments[1:]))
outs = arguments[: arguments.index("--read")]
read = pathlib.Path(options["--read"])
files = sorted(file for file in (read.rglob("*") if read.is_dir() else [read]) if file.is_file())
text = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() + options.get("--say", "")
with open("began.log", "a") as log:
    log.write(f"{os.environ['DVC_STAGE']} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {time.time()}\\n")
print("reads", read)
time.sleep(float(options.get("--seconds", 0)))
if options.get("--say") == "fail":
    print("this cell was told to fail")
    sys.exit(3)
for name in outs:
    path = pathlib.Path(name)
    folder = "." not in path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in [path / "one", path / "two"] if folder else [path]:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.part")
        temporary.write_text(json.dumps({"text": text}) if file.suffix == ".json" else text + name + file.name)
        temporary.replace(file)
"""


def environment(**more: str) -> dict[str, str]:
    """The environment of a command, with this Python's programs first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    author = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("OMP_", "SPECTROSCOPE_", "DVC_"))}
    paths = {"PATH": path, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1", "SHELL": "/bin/bash"}
    return {**kept, **paths, **author, **more}


def call(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder; what it prints is one text."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def spectroscope(*words: str) -> list[str]:
    """The command line of `spectroscope`."""
    return [sys.executable, "-m", "spectroscope.cli", *words]


def make(folder: Path) -> Path:
    """A committed toy study in a new folder."""
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "toy.py").write_text(PROGRAM)
    (folder / ".gitignore").write_text("/data\nbegan.log\n*.part\n")
    (folder / ".dvcignore").write_text("*.part\n")
    for command in (
        ["git", "init", "--quiet", "--initial-branch", "main"],
        ["dvc", "init", "--quiet"],
        ["dvc", "config", "core.analytics", "false"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "A toy study"],
    ):
        done = call(folder, *command)
        assert done.returncode == 0, done.stdout
    return folder


def edit(folder: Path, old: str, new: str, file: str = "params.yaml") -> None:
    """Replace a piece of a file, by default params.yaml."""
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def began(folder: Path) -> list[str]:
    """Stages in the order in which their commands began."""
    file = folder / "began.log"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def state(folder: Path) -> dict[str, bytes]:
    """Everything that a reproduction leaves: dvc.lock, .gitignore files, outputs, cache and run-cache, by path."""
    roots = ("dvc.lock", "data", "reports", ".gitignore", ".dvc/cache")
    files = [file for root in roots for file in [folder / root, *(folder / root).rglob("*")] if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
