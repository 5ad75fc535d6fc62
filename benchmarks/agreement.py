"""Success and distance of our attacks against those of other libraries, on the same images at equal settings.

`python -m benchmarks.agreement data resnet8 500 standard,adversarial all`: the folder `data` of a reproduced study, the
model of its runs, test images, runs, attacks. Every library attacks the images that the network classifies right, in
batches of 64: other libraries the network as a user has it, ours its frozen copy. The row of another library has the
paired difference of success, ours minus its own, with the 95 % interval of the normal approximation. For an attack that
looks for the nearest adversary it also has the ratio of the median l2 norms over the images that both fool.
"""

import time
import warnings
from pathlib import Path

import torch
import typer
from torch import Tensor

from benchmarks import attacks, networks, peers
from spectroscope.attacks.registry import AttackSettings
from spectroscope.models import inference
from spectroscope.pipeline import machine, params

BATCH_SIZE = 64
NEAREST = ("fab", "ddn", "deepfool", "cw")
MAX_IMAGES = {"simba": 100}  # of an attack that another library runs on one image at a time
L2_RADII = {"standard": 0.25, "adversarial": 0.5}
PGD, APGD = attacks.ENTRIES["pgd"], attacks.ENTRIES["apgd"]
ENTRIES = {
    "fgsm": {"method": "fgsm", "n_images": 1, "target": None},
    "pgd linf": PGD,
    "pgd l2": {**PGD, "norm": "l2", "direction": "l2"},
    "apgd cross-entropy": APGD,
    "apgd dlr": {**APGD, "loss": "dlr"},
    "fab": {**attacks.ENTRIES["fab"], "n_targets": 1},
    "ddn": {**attacks.ENTRIES["ddn"], "steps": 30},
    "deepfool": {"method": "deepfool", "n_images": 1, "target": None, "bands": None, "overshoot": 0.02, "steps": 20},
    "square": {**attacks.ENTRIES["square"], "max_queries": 100},
    "simba": {**attacks.ENTRIES["simba"], "max_queries": 101},
    "cw": {**attacks.ENTRIES["cw"], "search_steps": 3, "steps": 30},
}


def settings_of(name: str, run: str) -> AttackSettings:
    """An entry with the radius of the run; PGD takes steps of a quarter of it."""
    entry, radius = dict(ENTRIES[name]), attacks.RADII_255[run]
    if entry.get("norm") == "l2" and entry["method"] == "pgd":
        entry |= {"eps": L2_RADII[run], "step_size": L2_RADII[run] / 4}
    elif entry["method"] == "fgsm" or (entry.get("norm") == "linf"):
        entry |= {"eps_255": radius} | ({"step_255": radius / 4} if entry["method"] == "pgd" else {})
    return params.validate(entry, AttackSettings, f"attacks.{name}")


def paired_difference(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Mean difference of success on the same images, booleans (n,), and half the width of its 95 % interval."""
    difference = ours.double() - theirs.double()
    return float(difference.mean()), 1.96 * float(difference.std() / len(difference) ** 0.5)


def main(data: Path, model: str, images: int, runs: str, names: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    libraries = peers.installed()
    x, labels, trained = networks.restore(data, model, images)
    print("| attack | run | library | n | success | ours - peer | median l2 | ours / peer | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    for run in runs.split(","):
        network = trained[run]
        with torch.no_grad():
            right = torch.cat([network(chunk).argmax(1) for chunk in x.split(BATCH_SIZE)]) == labels
        frozen = inference.freeze(network)
        for name in ENTRIES if names == "all" else names.split(","):
            settings = settings_of(name, run)
            clean, clean_labels = (
                x[right][: MAX_IMAGES.get(name, images)],
                labels[right][: MAX_IMAGES.get(name, images)],
            )
            implementations = {"ours": (attacks.ours, frozen)}
            for library, peer in peers.PEERS[settings.method].items():
                if library in libraries:
                    implementations[library] = (peer, network)
            outcomes = {}
            for library, (function, attacked) in implementations.items():
                machine.seed(0)
                started, fooled, length = time.process_time(), [], []
                for rows in torch.arange(len(clean)).split(BATCH_SIZE):
                    adversary = function(attacked, clean[rows], clean_labels[rows], settings).detach()
                    with torch.no_grad():
                        fooled.append(network(adversary).argmax(1) != clean_labels[rows])
                    length.append((adversary - clean[rows]).flatten(1).norm(dim=1))
                seconds = time.process_time() - started
                outcomes[library] = torch.cat(fooled), torch.cat(length)
                (our_success, our_length), (fooled, length) = outcomes["ours"], outcomes[library]
                row = [
                    name,
                    run,
                    library,
                    len(clean),
                    f"{fooled.double().mean():.3f}",
                    "",
                    f"{length[fooled].median():.4f}",
                ]
                if library != "ours":
                    mean, half = paired_difference(our_success, fooled)
                    row[5] = f"{mean:+.3f} +- {half:.3f}"
                    both = our_success & fooled
                    row += [f"{our_length[both].median() / length[both].median():.3f}"] if name in NEAREST else []
                print("|", " | ".join(map(str, [*row, *[""] * (8 - len(row)), f"{seconds:.1f}"])), "|", flush=True)
    print(f"\n{machine.describe()}, versions {peers.versions(libraries)}")


if __name__ == "__main__":
    typer.run(main)
