"""Success at equal settings, and speed, of our attacks and those of other libraries.

`python -m benchmarks.attacks data resnet8 64 3 1 pgd,square`: the folder `data` of a reproduced study, the model of its
runs, images, repeats, threads, attacks. Every library attacks the same images, those the network classifies right.
Other libraries attack the network as a user has it, in evaluation mode; ours attack the frozen copy of the pipeline,
whose speed is part of the comparison. Time: processor time of the process with one thread, else wall time; the minimum
over repeats, in which the libraries take turns so that a busy machine slows all of them.
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
from spectroscope.pipeline import machine, params

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
    """The entry of an attack with the radius of the run in l-inf; PGD takes steps of a quarter of it."""
    entry = dict(ENTRIES[attack])
    if entry.get("norm") == "linf":
        entry["eps_255"] = RADII_255[run]
    if attack == "pgd":
        entry["step_255"] = RADII_255[run] / 4
    return params.validate(entry, AttackSettings, f"attacks.{attack}")


def ours(network: nn.Module, x: Tensor, labels: Tensor, settings: AttackSettings) -> Tensor:
    """Includes the forward passes of the pipeline before and after the attack."""
    return x + runner.run(settings, network, x, labels, 0).perturbation


def main(data: Path, model: str, images: int, repeats: int, threads: int, attacks: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    libraries = peers.installed()
    x, labels, trained = networks.restore(data, model, images)
    print(
        "| attack | run | library | n | success | median l2 | seconds | times ours |\n|---|---|---|---|---|---|---|---|"
    )
    for attack in attacks.split(","):
        for run, network in trained.items():
            right = network(x).argmax(1) == labels
            clean, clean_labels, settings = x[right], labels[right], settings_of(attack, run)
            implementations = {"ours": (ours, inference.freeze(network))}
            for library, peer in peers.PEERS[attack].items():
                if library.split(",")[0] in libraries:
                    implementations[library] = (peer, network)
            seconds, adversaries = {library: [] for library in implementations}, {}
            for _ in range(repeats):
                for library, (function, attacked) in implementations.items():
                    machine.seed(0)
                    started = clock()
                    adversaries[library] = function(attacked, clean, clean_labels, settings).detach()
                    seconds[library].append(clock() - started)
            for library, adversary in adversaries.items():
                fooled = network(adversary).argmax(1) != clean_labels
                length = (adversary - clean)[fooled].flatten(1).norm(dim=1).median()
                least = min(seconds[library])
                print(
                    f"| {attack} | {run} | {library} | {len(clean)} | {fooled.float().mean():.3f} | {length:.4f} "
                    f"| {least:.2f} | {least / min(seconds['ours']):.2f} |",
                    flush=True,
                )
    print(f"\n{repeats} repeats, {machine.describe()}, versions {peers.versions(libraries)}")


if __name__ == "__main__":
    typer.run(main)
