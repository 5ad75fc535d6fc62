"""`dvc repro` beside `spectroscope repro`: `python -m benchmarks.reproduce [--study default] [--jobs 2] [--repeats 3]`.

Every driver gets a fresh clone of the last commit, with an empty cache and no dvc.lock, and computes all of the study.
The drivers run one after the other, in turn, on the same cores. The table has medians, n and the machine, and says
whether a driver's dvc.lock is that of `dvc repro` to the last byte, which holds when all use as many threads.
"""

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from spectroscope.pipeline.resources import cores

ROOT = Path(__file__).parents[1]


def main(
    study: Annotated[str, typer.Option(help="A file of studies/ without its ending, or default.")] = "smoke",
    jobs: Annotated[list[int], typer.Option(help="Numbers of cells at once.")] = [1, 2],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Runs of each driver.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of each process; by default each driver's own.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Stages, cells or outputs in place of the whole.")] = None,
) -> None:
    """Print the table."""
    drivers = {"dvc repro": ["dvc", "repro"]}
    for n in jobs:
        command = [sys.executable, "-m", "spectroscope.cli", "repro", "-j", str(n)]
        drivers[f"spectroscope repro -j {n}"] = command
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
    seconds: dict[str, list[float]] = {name: [] for name in drivers}
    locks: dict[str, bytes] = {}
    for _ in range(repeats):
        for name, command in drivers.items():
            with tempfile.TemporaryDirectory() as folder:
                clone = Path(folder) / "clone"
                subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
                if study != "default":
                    shutil.copy(clone / "studies" / f"{study}.yaml", clone / "params.yaml")
                (clone / "dvc.lock").unlink()
                began = time.monotonic()
                done = subprocess.run([*command, *(target or [])], cwd=clone, env=environment, capture_output=True)
                seconds[name].append(time.monotonic() - began)
                if done.returncode:
                    sys.exit(f"{name}: expected to reproduce, got exit code {done.returncode}: {done.stdout.decode()}")
                locks[name] = (clone / "dvc.lock").read_bytes()
            typer.echo(f"{name}: {seconds[name][-1]:.1f} s", err=True)
    typer.echo(f"Study {study}, {', '.join(target or ['whole'])}, n = {repeats}, {cores()} cores, {_processor()}.\n")
    typer.echo("| driver | s | x dvc repro | dvc.lock as by dvc repro |\n|---|---|---|---|")
    first = statistics.median(seconds["dvc repro"])
    for name in drivers:
        middle = statistics.median(seconds[name])
        same = "yes" if locks[name] == locks["dvc repro"] else "no"
        typer.echo(f"| `{name}` | {middle:.1f} | {first / middle:.2f} | {same} |")


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())


if __name__ == "__main__":
    typer.run(main)
