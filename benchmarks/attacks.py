"""Attacks beside those of other libraries, in one run: strength at equal settings, and speed.

`python -m benchmarks.attacks data resnet8 64 3 1 pgd,square`: the folder `data` of a reproduced study, the model of its
runs, images, repeats, threads, attacks. Every library attacks the same images that the network has right. Peers get the
network as a user holds it, in evaluation mode; ours is the frozen copy that the pipeline attacks, which is part of what
is measured. Time: processor time of the whole process where there is one thread, else wall time; the least of the
repeats, taken in turns so that a busy machine strikes all alike.
"""

import time
import warnings
from pathlib import Path

import torch
import typer
from torch import Tensor, nn

from benchmarks import networks, peers
from spectroscope.attacks import runner
from spectroscope.attacks.registry import AttackSettings
from spectroscope.models import inference
from spectroscope.pipeline import machine as runtime
from spectroscope.pipeline import params

STEPS = {"n_images": 1, "target": None, "steps": 10, "random_start": True, "direction": "sign", "momentum": 0}
ENTRIES = {
    "pgd": {**STEPS, "method": "pgd", "norm": "linf", "stop_early": True},
    "apgd": {
        "method": "apgd",
        "n_images": 1,
        "target": None,
        "norm": "linf",
        "loss": "cross_entropy",
        "n_targets": None,
        "steps": 10,
    },
    "square": {
        "method": "square",
        "n_images": 1,
        "target": None,
        "norm": "linf",
        "first_share": 0.8,
        "max_queries": 200,
    },
    "cw": {
        "method": "cw",
        "n_images": 1,
        "target": None,
        "eps": None,
        "confidence": 0,
        "learning_rate": 0.02,
        "initial_const": 0.1,
        "search_steps": 4,
        "steps": 50,
    },
    "ddn": {"method": "ddn", "n_images": 1, "target": None, "initial_norm": 1.0, "gamma": 0.05, "steps": 50},
    "fab": {"method": "fab", "n_images": 1, "target": None, "norm": "l2", "n_targets": 3, "steps": 10},
    "simba": {
        "method": "simba",
        "n_images": 1,
        "target": None,
        "basis": "dct",
        "eps_255": None,
        "freq_dims": None,
        "step_size": 0.2,
        "max_queries": 201,
    },
}
RADII_255 = {"standard": 2, "adversarial": 8}


def settings_of(attack: str, run: str) -> AttackSettings:
    """The entry of an attack; in l-inf the radius that suits the run, and PGD in steps of a quarter of it."""
    entry = dict(ENTRIES[attack])
    if entry.get("norm") == "linf":
        entry["eps_255"] = RADII_255[run]
    if attack == "pgd":
        entry["step_255"] = RADII_255[run] / 4
    return params.validate(entry, AttackSettings, f"attacks.{attack}")


def ours(network: nn.Module, x: Tensor, labels: Tensor, settings: AttackSettings) -> Tensor:
    """With the passes before and after that the pipeline makes."""
    return x + runner.run(settings, network, x, labels, 0).perturbation


def main(data: Path, model: str, images: int, repeats: int, threads: int, attacks: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    libraries = peers.installed()
    x, labels, found = networks.restore(data, model, images)
    print(
        "| attack | run | library | n | success | median l2 | seconds | times ours |\n|---|---|---|---|---|---|---|---|"
    )
    for attack in attacks.split(","):
        for run, network in found.items():
            right = network(x).argmax(1) == labels
            clean, aims, settings = x[right], labels[right], settings_of(attack, run)
            contenders = {"ours": (ours, inference.freeze(network))}
            for library, peer in peers.PEERS[attack].items():
                if library.split(",")[0] in libraries:
                    contenders[library] = (peer, network)
            seconds, reached = {name: [] for name in contenders}, {}
            for _ in range(repeats):
                for name, (work, victim) in contenders.items():
                    runtime.seed(0)
                    started = clock()
                    reached[name] = work(victim, clean, aims, settings).detach()
                    seconds[name].append(clock() - started)
            for name, adversary in reached.items():
                fooled = network(adversary).argmax(1) != aims
                length = (adversary - clean)[fooled].flatten(1).norm(dim=1).median()
                least = min(seconds[name])
                print(
                    f"| {attack} | {run} | {name} | {len(clean)} | {fooled.float().mean():.3f} | {length:.4f} "
                    f"| {least:.2f} | {least / min(seconds['ours']):.2f} |",
                    flush=True,
                )
    print(f"\n{repeats} repeats, {runtime.describe()}, versions {peers.versions(libraries)}")


if __name__ == "__main__":
    typer.run(main)
