"""Speed of `spectroscope profile` against bare forward passes, as Markdown: `python -m benchmarks.profile FOLDER`.

FOLDER holds `networks` and `cifar10-exact` (as for benchmarks/public_networks.py) and `imagenet-sample`, a folder of
images. Occluded Frequency: least CPU seconds of bare passes over ours, with as many images in one pass, one thread.
Profiles: the command in a process of its own, the time it is given and takes, and the most memory it holds.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import typer

from benchmarks.attribution import forwards, least
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.frequency.partitions import equal_width
from spectroscope.models import architectures, inference
from spectroscope.pipeline import machine
from spectroscope.pipeline.passes import MOST_LARGE, MOST_SMALL


def occlusion(side: int) -> str:
    """A row for Occluded Frequency as a profile computes it: 32 bands at 32 pixels, 16 at 224."""
    import torchvision  # here, since it takes 7 s on a slow machine

    machine.seed(0)
    if side == 32:
        name, model, bands, n, chunk, repeats = (
            "ResNet-20",
            architectures.build("resnet20", (3, 32, 32), 10),
            32,
            64,
            MOST_SMALL,
            3,
        )
    else:
        name, model, bands, n, chunk, repeats = "ResNet-18", torchvision.models.resnet18(), 16, 8, MOST_LARGE, 1
    model = inference.freeze(model.eval())
    images, labels = torch.rand(n, 3, side, side), torch.zeros(n, dtype=torch.int64)
    index = equal_width(side, side, bands, "dct")
    bare, ours = least(
        lambda: forwards(model, images, bands + 1, chunk),
        lambda: occluded_frequency(model, images, labels, index, chunk=chunk),
        repeats,
    )
    return f"| Occluded Frequency, {bands} bands, {name} at {side} | {bare:.2f} | {ours:.2f} | {bare / ours:.2f} |"


def profile(name: str, arguments: list[str], minutes: float) -> str:
    """A row for one run of the command."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        command = [sys.executable, "-m", "spectroscope.cli", "profile", *arguments]
        began = time.monotonic()
        child = subprocess.Popen([*command, "--minutes", str(minutes), "--out", str(out)], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{name}: expected the exit status 0, got {child.returncode}")
        taken = time.monotonic() - began
        (found,) = json.loads((out / "profile.json").read_text())["networks"]
    forward, left_out = found["plan"]["seconds_of_a_forward_pass"], "; ".join(found["left_out"]) or "nothing"
    passes, cpu = taken / (forward * found["n_images"]), used.ru_utime + used.ru_stime
    cells = [name, f"{minutes:g}", f"{taken / 60:.1f} ({cpu / 60:.1f} CPU)", f"{passes:.0f}"]
    return f"| {' | '.join(cells)} | {used.ru_maxrss / 2**20:.1f} | {left_out} |"


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    print("| | bare passes, CPU s | ours, CPU s | ratio |\n|---|---|---|---|")
    for side in (32, 224):
        print(occlusion(side), flush=True)
    print("\n| profile | minutes given | taken | in passes of all images | GiB | left out |\n|---|---|---|---|---|---|")
    weights = [str(folder / "networks" / "resnet20-12fca82f.th"), "--architecture", "resnet20", "--images", "300"]
    weights += ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    print(profile("ResNet-20, 300 images of CIFAR-10", [*weights, str(folder / "cifar10-exact")], 2), flush=True)
    random = ["torchvision:resnet18", str(folder / "imagenet-sample"), "--images", "100"]
    print(profile("ResNet-18, random weights, 100 images of 224 pixels", random, 5), flush=True)
    print(f"\n{machine.describe()}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    typer.run(main)
