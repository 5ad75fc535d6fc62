"""How near to the nearest adversary attacks get within a budget of passes, ours and those of adv-lib.

`python -m benchmarks.yardstick folder norms.jsonl 100 100,500,2000`: the folder of `benchmarks.public_networks`, a file
to which each finished attack adds a line (what it has already is not run again), images, budgets. The first images that
the network classifies right are attacked, all in one batch, by attacks that know the budget. A budget counts the
forward and the backward passes of each image. What counts is the nearest adversary among all that the network was
asked about within the budget, as in AttackBench (Cina et al. 2024), whether or not the attack returns it.

Local optimality (Cina et al. 2024). rho_a(e) is the share of the images without an adversary of norm <= e from attack
a, rho_*(e) the same over all attacks together, e_0 the smallest e with rho_*(e) = 0:

    optimality(a) = 1 - (A(a) - A(*)) / (rho(0) e_0 - A(*)),    A = area under rho between 0 and e_0

It is 1 for an attack that finds the nearest known adversary of each image and 0 for one that finds none below e_0.
Deviations: the area under the steps of rho is exact (the mean of min(norm, e_0)), where theirs joins the steps by
straight lines; only images classified right are attacked, so that rho(0) is 1; "all attacks" are those of the file, at
all of its budgets, so that figures of two files do not compare; passes are counted by image, theirs by batch.
"""

import importlib.metadata
import json
import math
import sys
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import typer
from torch import Tensor, nn

from benchmarks import public_networks
from spectroscope.attacks.counting_model import CountingModel
from spectroscope.attacks.registry import AttackSettings, lookup
from spectroscope.frequency.balls import Norm, norms
from spectroscope.pipeline import machine, params

NETWORKS = ("resnet20-12fca82f.th", "resnet4b.pth")
SHAPE, CLASSES = (3, 32, 32), 10
N_TARGETS = {100: 3, 500: 5, 2000: 9}  # of FAB, and of FMN with several targets
SEARCHES = {100: 4, 500: 8, 2000: 15}  # of the radius, by APGD
FIRST_RADIUS = {"l2": 0.5, "linf": 8 / 255}
CW_SEARCHES = {100: 2, 500: 4, 2000: 6}

Attack = Callable[[nn.Module, Tensor, Tensor, Norm, int], Any]  # network, x, labels, norm, budget


class Recorder(nn.Module):
    """The network as attacks see it. For each of the images x (n, C, H, W): passes so far and norm of the nearest
    adversary, infinite where there is none; both (n,)."""

    def __init__(self, network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> None:
        super().__init__()
        self.network, self.x, self.labels, self.norm, self.budget = network, x, labels, norm, budget
        self.passes, self.nearest = torch.zeros_like(labels), x.new_full((len(x),), math.inf)

    def forward(self, z: Tensor) -> Tensor:
        rows = self._rows(z.detach())
        logits = self.network(z)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._count(rows))
        self._count(rows)
        length = norms(z.detach() - self.x[rows], self.norm)
        counts = (logits.argmax(1) != self.labels[rows]) & (self.passes[rows] <= self.budget)
        self.nearest[rows] = torch.where(counts, torch.minimum(length, self.nearest[rows]), self.nearest[rows])
        return logits

    def _rows(self, z: Tensor) -> Tensor:
        """The images that z (m, C, H, W) are versions of: all in order or, where some are done, the nearest."""
        if len(z) == len(self.x):
            return torch.arange(len(z))
        return torch.cdist(z.flatten(1), self.x.flatten(1)).argmin(1)

    def _count(self, rows: Tensor) -> None:
        self.passes.index_add_(0, rows, torch.ones_like(rows))


# ---- ours


def ours(entry: dict[str, Any], network: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Adversaries of an attack of the registry, x where it finds none."""
    settings = params.validate({"n_images": 1, "target": None, **entry}, AttackSettings, "attacks.yardstick")
    model = CountingModel(network, x, labels, CLASSES, ball=settings.ball)
    generators = [machine.generator(0, row) for row in range(len(x))]
    return lookup(settings.method).function(settings, model, x, generators)


def our_ddn(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    entry = {"method": "ddn", "initial_norm": 1.0, "gamma": 0.05, "steps": (budget - 1) // 2}
    return ours(entry, network, x, labels)


def our_fmn(one_target: bool, network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    targets = None if one_target else N_TARGETS[budget]
    steps = (budget - 1) // 2 if targets is None else ((budget - 1) // targets - 1) // 2
    entry = {"method": "fmn", "norm": norm, "n_targets": targets, "relative_step": 2.0, "gamma": 0.1, "steps": steps}
    return ours(entry, network, x, labels)


def our_fab(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    targets = N_TARGETS[budget]
    entry = {"method": "fab", "norm": norm, "n_targets": targets, "steps": (budget - 6) // (3 * targets)}
    return ours(entry, network, x, labels)


def our_cw(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    entry = {"method": "cw", "eps": None, "confidence": 0, "learning_rate": 0.01, "initial_const": 0.1}
    searches = CW_SEARCHES[budget]
    return ours(entry | {"search_steps": searches, "steps": budget // (2 * searches)}, network, x, labels)


def our_apgd(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> None:
    """Bisection of the radius, as in adv-lib: images of equal radius are attacked together."""
    steps = _apgd_steps(budget)
    entry = {"method": "apgd", "norm": norm, "loss": "dlr", "n_targets": None, "steps": steps}
    low, high = torch.zeros(len(x)), torch.full((len(x),), 2 * FIRST_RADIUS[norm])
    for _ in range(SEARCHES[budget]):
        middle, found = (low + high) / 2, torch.zeros(len(x), dtype=torch.bool)
        for radius in middle.unique():
            rows = middle == radius
            size = {"linf": {"eps_255": 255 * float(radius)}, "l2": {"eps": float(radius)}}[norm]
            found[rows] = (ours(entry | size, network, x[rows], labels[rows]) != x[rows]).flatten(1).any(1)
        low, high = torch.where(found, low, middle), torch.where(found, middle, high)


def _apgd_steps(budget: int) -> int:
    """1 + steps evaluations with gradient and, in adv-lib, one more without, in each search."""
    return (budget // SEARCHES[budget] - 3) // 2


# ---- adv-lib


def adv_lib() -> Any:
    """Its attacks. It imports visdom, which draws curves, but calls it for a `callback` only."""
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    import adv_lib.attacks.auto_pgd

    return adv_lib.attacks


def their_ddn(levels: int | None, network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    return adv_lib().ddn(network, x, labels, steps=budget // 2, levels=levels)


def their_fmn(step: float, network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    return adv_lib().fmn(network, x, labels, norm=_power(norm), steps=budget // 2, α_init=step)


def their_fab(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    targets = N_TARGETS[budget]
    steps = (budget - 1 - targets) // (3 * targets)
    return adv_lib().fab(network, x, labels, norm=_power(norm), n_iter=steps, targeted_restarts=True, restarts=targets)


def their_apgd(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    return adv_lib().auto_pgd.minimal_apgd(
        network,
        x,
        labels,
        norm=_power(norm),
        max_eps=FIRST_RADIUS[norm],
        binary_search_steps=SEARCHES[budget],
        n_iter=_apgd_steps(budget),
    )


def their_pdgd(network: nn.Module, x: Tensor, labels: Tensor, norm: Norm, budget: int) -> Tensor:
    if norm == "l2":
        return adv_lib().pdgd(network, x, labels, num_steps=budget // 2)
    return adv_lib().pdpgd(network, x, labels, norm=math.inf, num_steps=budget // 2)


def _power(norm: Norm) -> float:
    return {"l2": 2.0, "linf": math.inf}[norm]


ATTACKS: dict[Norm, dict[str, Attack]] = {
    "l2": {
        "ours DDN": our_ddn,
        "ours FMN": partial(our_fmn, True),
        "ours FMN, several targets": partial(our_fmn, False),
        "ours FAB": our_fab,
        "ours APGD, bisected": our_apgd,
        "ours CW": our_cw,
        "adv-lib DDN": partial(their_ddn, None),
        "adv-lib DDN, 256 grey levels": partial(their_ddn, 256),
        "adv-lib FMN": partial(their_fmn, 1.0),
        "adv-lib FAB": their_fab,
        "adv-lib APGD, bisected": their_apgd,
        "adv-lib PDGD": their_pdgd,
    },
    "linf": {
        "ours FMN": partial(our_fmn, True),
        "ours FMN, several targets": partial(our_fmn, False),
        "ours FAB": our_fab,
        "ours APGD, bisected": our_apgd,
        "adv-lib FMN": partial(their_fmn, 1.0),
        "adv-lib FMN, first step 10": partial(their_fmn, 10.0),
        "adv-lib FAB": their_fab,
        "adv-lib APGD, bisected": their_apgd,
        "adv-lib PDPGD": their_pdgd,
    },
}


def optimality(length: Tensor, least: Tensor) -> float:
    """Local optimality of norms (n,) found by an attack beside the least known norms (n,); see above."""
    end = least.max()
    value = float(1 - (length.clamp(max=end).mean() - least.mean()) / (end - least.mean()))
    return max(value, 0.0)  # below 0 by rounding alone


def table(lines: list[dict[str, Any]]) -> str:
    """A row for each network, norm and attack: optimality, median norm and share of images fooled at each budget."""
    budgets = sorted({line["budget"] for line in lines})
    rows = ["| network | norm | attack | " + " | ".join(f"{budget} passes" for budget in budgets) + " |"]
    rows.append("|---|---|---|" + "---|" * len(budgets))
    for (network, norm), here in _scenarios(lines).items():
        least = torch.stack([line["nearest"] for line in here]).amin(0)
        scale = 255 if norm == "linf" else 1
        for attack in dict.fromkeys(line["attack"] for line in here):
            cells = {}
            for line in (line for line in here if line["attack"] == attack):
                length, share = line["nearest"], float(line["nearest"].isfinite().float().mean())
                median = float(length.median()) * scale
                cells[line["budget"]] = f"{optimality(length, least):.3f}, {median:.4f}, {share:.2f}"
            row = [network, norm, attack, *(cells.get(budget, "") for budget in budgets)]
            rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows)


def comparison(lines: list[dict[str, Any]]) -> str:
    """A row for each network, norm and budget: the attack of ours and that of adv-lib with the largest optimality.

    The difference, ours minus theirs, is paired by image, with the 95 % interval of the normal approximation; e_0 and
    A(*) are taken as known.
    """
    rows = ["| network | norm | passes | best of ours | best of adv-lib | difference |", "|---|---|---|---|---|---|"]
    for (network, norm), here in _scenarios(lines).items():
        least = torch.stack([line["nearest"] for line in here]).amin(0)
        for budget in sorted({line["budget"] for line in here}):
            best = []
            for library in ("ours ", "adv-lib "):
                found = [line for line in here if line["budget"] == budget and line["attack"].startswith(library)]
                best += sorted(found, key=lambda line: optimality(line["nearest"], least))[-1:]
            if len(best) < 2:
                continue  # nothing to compare with yet
            shorter = [line["nearest"].clamp(max=least.max()) for line in best]
            difference = (shorter[1] - shorter[0]) / (least.max() - least.mean())
            half = 1.96 * float(difference.std()) / len(difference) ** 0.5
            names = [f"{line['attack'].split(' ', 1)[1]} {optimality(line['nearest'], least):.3f}" for line in best]
            row = [network, norm, str(budget), *names, f"{float(difference.mean()):+.3f} ± {half:.3f}"]
            rows.append(f"| {' | '.join(row)} |")
    return "\n".join(rows)


def _scenarios(lines: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The lines of each network and norm, their norms as tensors (n,)."""
    scenarios: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        here = scenarios.setdefault((line["network"], line["norm"]), [])
        here.append(line | {"nearest": torch.tensor(line["nearest"])})
    return scenarios


def main(folder: Path, out: Path, images: int, budgets: str, networks: str = ",".join(NETWORKS)) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    x, labels = public_networks.read_images(folder / "cifar10-exact", SHAPE[0])
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(line["network"], line["norm"], line["attack"], line["budget"]) for line in lines}
    for network in public_networks.CIFAR_NETWORKS:
        if network.file not in networks.split(","):
            continue
        model = public_networks.load(folder, network, SHAPE)
        right = (model(x).argmax(1) == labels).nonzero()[:images, 0]
        for budget in map(int, budgets.split(",")):
            for norm, attacks in ATTACKS.items():
                for name, attack in attacks.items():
                    if (network.model, norm, name, budget) in done:
                        continue
                    recorder = Recorder(model, x[right], labels[right], norm, budget)
                    machine.seed(0)
                    started = time.process_time()
                    attack(recorder, x[right], labels[right], norm, budget)
                    line = {"network": network.model, "norm": norm, "attack": name, "budget": budget}
                    line |= {"nearest": recorder.nearest.tolist(), "passes": int(recorder.passes.max())}
                    line |= {"seconds": time.process_time() - started}
                    with out.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    lines.append(line)
                    print(
                        network.model, norm, name, budget, line["passes"], f"{line['seconds']:.1f} s", file=sys.stderr
                    )
    print(table(lines))
    print()
    print(comparison(lines))
    print(f"\n{machine.describe()}, adv-lib {importlib.metadata.version('adv-lib')}")


if __name__ == "__main__":
    typer.run(main)
