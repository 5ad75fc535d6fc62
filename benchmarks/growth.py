"""How time and memory grow with cells, images, bands and networks: `python -m benchmarks.growth`, Markdown tables.

Cells: a project of commands that do nothing, run by `dvc repro`, by `spectroscope repro`, and once more when nothing
has changed: what is measured is the driver alone, in CPU seconds of it and its children. Images
and bands: Occluded Frequency of a small network. Networks: the statistics of its curves. Every figure is of a process
of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from spectroscope.attribution.by_shell import SCORES, table
from spectroscope.attribution.occlusion import drops_by_score
from spectroscope.attribution.shell_bands import column_names
from spectroscope.findings.reliance import class_curves, reliance
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import shells
from spectroscope.models import inference
from spectroscope.models.architectures import build
from spectroscope.pipeline import machine
from spectroscope.statistics.estimates import StatisticsSettings

CELLS = (12, 50, 100, 200)
IMAGES, BANDS, NETWORKS = (100, 200, 400, 800), (4, 8, 16, 32), (3, 10, 30)
USUAL = {"images": 200, "bands": 8, "networks": 1}
DRIVERS = {"dvc repro": ["dvc", "repro", "-q"], "repro -j 1": [sys.executable, "-m", "spectroscope.cli", "repro"]}
app = typer.Typer()


@app.command()
def main() -> None:
    """Print the tables."""
    print("| cells | `dvc repro`, CPU s | `spectroscope repro`, CPU s | nothing to do |")
    print("|---" * 4 + "|")
    for n in CELLS:
        spent = {name: _driven(n, command) for name, command in DRIVERS.items()}
        (dvc, _), (ours, again) = spent.values()
        print(f"| {n} | {dvc:.1f} | {ours:.1f} | {again:.1f} |", flush=True)
    for noun, counts in (("images", IMAGES), ("bands", BANDS), ("networks", NETWORKS)):
        print(f"\n| {noun} | CPU s | above the first, MB |\n|---|---|---|")
        found = [_apart(noun, n) for n in counts]
        for n, (seconds, peak) in zip(counts, found, strict=True):
            print(f"| {n} | {seconds:.2f} | {peak - found[0][1]:.0f} |", flush=True)


def _driven(cells: int, command: list[str]) -> tuple[float, float]:
    """CPU seconds of the first run, and of one with nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        for setup in (["git", "init", "-q"], ["dvc", "init", "-q"]):
            subprocess.run(setup, cwd=folder, check=True)
        stage = "{foreach: [%s], do: {cmd: 'printf ${item} > ${item}.txt', outs: ['${item}.txt']}}"
        names = ", ".join(str(number) for number in range(cells))
        Path(folder, "dvc.yaml").write_text(f"stages:\n  cell: {stage % names}\n")
        return _spent(command, folder), _spent(command, folder)


def _spent(command: list[str], folder: str) -> float:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: expected exit code 0, got {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


def _apart(noun: str, n: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "one", noun, str(n)]
    return tuple(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))  # type: ignore[return-value]


@app.command()
def one(noun: Annotated[str, typer.Argument()], n: Annotated[int, typer.Argument()]) -> None:
    """Print CPU seconds and peak memory of one measurement."""
    images, bands, networks = (n if noun == each else usual for each, usual in USUAL.items())
    model = inference.freeze(build("resnet8", (3, 32, 32), 10).eval())
    x = torch.rand(images, 3, 32, 32, generator=machine.generator(0))
    y, index = torch.arange(images) % 10, partition(32, 32, "linf", bands, "dct")
    began = _cpu()
    drops = drops_by_score(model, x, y, index, SCORES, "dct", None, False, 64)
    if noun == "networks":
        began = _cpu()
        noise = (torch.randn(drops.shape, generator=machine.generator(1, seed)) for seed in range(networks))
        rows = pd.concat(
            [
                table(drops + each, column_names(index, shells(32, 32)), y, y >= 0, seed)
                for seed, each in enumerate(noise)
            ]
        )
        clusters, statistics = torch.arange(images).numpy(), StatisticsSettings(confidence=0.95, groups=20)
        parts = [class_curves("a", str(s), part, 10, clusters, "all", statistics) for s, part in rows.groupby("score")]
        reliance(parts, 0.5, statistics)
    print(json.dumps([_cpu() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3]))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    app()
