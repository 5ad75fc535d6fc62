"""The computations of test_processes.py and test_killed.py that run in processes of their own.

`python -m tests.members FOLDER`: each process writes FOLDER/<rank>.pt.
"""

import copy
import os
import sys
from pathlib import Path

import torch
from torch import nn

from spectroscope.pipeline import checkpoint, machine, processes
from spectroscope.training import distribution, loop
from spectroscope.training.adversary import pgd_adversary
from spectroscope.training.hooks import TrainingHooks
from tests.trainings import bright_or_dark, settings

# 60 images to train on: 4 batches, of which two processes have 7 and 8
TRAINING = {"batch_size": 15, "learning_rate": 0.05}


def network(normalised: bool) -> nn.Module:
    machine.seed(0)
    between = nn.BatchNorm2d(4) if normalised else nn.Identity()
    body = nn.Conv2d(2, 4, 3, padding=1), between, nn.ReLU(), nn.Conv2d(4, 4, 3)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))


class Branching(nn.Module):
    """A network of which a batch takes one branch or the other: that of its mean brightness."""

    def __init__(self):
        super().__init__()
        machine.seed(0)
        self.dark, self.bright, self.unused = nn.Linear(128, 2), nn.Linear(128, 2), nn.Linear(3, 3)

    def forward(self, x):
        x = x.flatten(1)
        if not self.training:
            return self.dark(x)
        return self.dark(x) if float(x[0].mean()) < 0.5 else self.bright(x)


def branching(parts: bool = False) -> tuple[list[dict], dict]:
    """A training in which the processes take different branches; parts: one replica is moved in the first epoch."""
    model, images = Branching(), bright_or_dark(channels=2, signal=0.3)

    def adversary(model, x, y, generator):
        if parts and processes.rank() == 1:
            with torch.no_grad():
                model.dark.bias.add_(1e-6)
        return x

    recipe = settings(**TRAINING, weight_decay=0.1)
    attack = pgd_adversary("linf", 8 / 255, 4 / 255, 2, True)
    rows = list(loop.fit(model, images, recipe, TrainingHooks(adversary=adversary), attack, machine.generator(0)))
    return rows, model.state_dict()


def penalty(model, images, labels, logits, generator):
    """The squared gradient by the images: differentiated twice."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 10 * gradient.square().sum() / len(images)


def train(normalised: bool, regulariser=None, adversary=None, slot=None, **changes) -> tuple[list[dict], dict]:
    """Rows and weights of a small training."""
    model, images = network(normalised), bright_or_dark(channels=2, signal=0.3)
    hooks = TrainingHooks(adversary=adversary, regulariser=regulariser)
    attack = pgd_adversary("linf", 8 / 255, 4 / 255, 2, True)
    recipe = settings(**{**TRAINING, **changes})
    rows = list(loop.fit(model, images, recipe, hooks, attack, machine.generator(0), slot))
    return rows, model.state_dict()


def batch() -> torch.Tensor:
    return 3 + 2 * torch.randn(5, 3, 4, 4, generator=machine.generator(7))


def normalised(x: torch.Tensor, share: slice) -> dict[str, torch.Tensor]:
    """A BatchNorm's outputs, first and second derivatives and running statistics for this share of a batch."""
    layer = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.uniform_(layer[0].weight, generator=machine.generator(8))
    distribution.synchronise_batch_norm(layer)
    rows = x[share].clone().requires_grad_()
    out = layer(rows)
    (first,) = torch.autograd.grad(out.sin().sum(), rows, create_graph=True)
    first.square().sum().backward()
    buffers = {"mean": layer[0].running_mean, "var": layer[0].running_var}
    return {"out": out.detach(), "first": first.detach(), "second": rows.grad, **buffers}


NORMS = {
    "flat": (nn.BatchNorm1d(3), (6, 3)),
    "sequence": (nn.BatchNorm1d(3, momentum=None), (6, 3, 5)),
    "without weights": (nn.BatchNorm2d(3, affine=False), (6, 3, 4, 4)),
    "without statistics": (nn.BatchNorm2d(3, track_running_stats=False), (6, 3, 4, 4)),
    "volume": (nn.BatchNorm3d(3, momentum=None), (6, 3, 2, 2, 2)),
}


def bare_norm(kind: str, share: slice) -> dict[str, torch.Tensor]:
    """Outputs of two batches and the running statistics of a BatchNorm, for this share of the batches."""
    layer, shape = copy.deepcopy(NORMS[kind])
    network = nn.Sequential(layer)
    distribution.synchronise_batch_norm(network)
    batches = torch.randn(2, *shape, generator=machine.generator(9))
    outputs = [network(x[share]).detach() for x in batches]
    return {"outputs": torch.stack(outputs), **dict(layer.named_buffers())}


def work(folder: Path) -> None:
    rank = processes.rank()
    summed, scalar = torch.full((2, 3), float(rank + 1)), torch.tensor(10.0 * (rank + 1))
    processes.all_reduce_([summed, scalar])
    sent = torch.tensor([rank])
    processes.broadcast_([sent])
    with checkpoint.open_store("members", folder=str(folder)) as store:
        resumable = train(True, slot=store.checkpoint_file("training"))
        processes.barrier()  # the first may still be writing
        files = sorted(file.name for file in store.folder.iterdir())
    results = {
        "world": processes.world_size(),
        "mine": list(processes.my_items(range(5))),
        "shares": [(share.start, share.stop, weight) for share, weight in map(processes.shard, (5, 2, 1))],
        "batch size": processes.batch_per_process(1000, 64 // (1 + rank)),
        "summed": summed,
        "scalar": scalar,
        "sent": sent,
        "plain": train(False),
        "normalised": train(True),
        "apart": train(True, batch_norm="per_process"),
        "penalty": train(True, penalty),
        "adversary": train(True, adversary=pgd_adversary("linf", 8 / 255, 4 / 255, 2, False)),
        "ragged": train(False, batch_size=59),  # the last batch has fewer images than there are processes
        "layer": normalised(batch(), processes.shard(5)[0]),
        "layers": {kind: bare_norm(kind, processes.shard(6)[0]) for kind in NORMS},
        "branching": branching(),
        "resumable": resumable,
        "files": files,
    }
    for name, refused in {"refused": lambda: train(False, batch_size=1), "parted": lambda: branching(True)}.items():
        try:
            refused()
        except ValueError as error:
            results[name] = str(error)
    torch.save(results, folder / f"{rank}.pt")


def train_stage(folder: Path, count: int, seconds: str) -> None:
    """The stage `training` in `count` processes, in this folder, with a checkpoint every `seconds` seconds."""
    from stages import training as stage

    os.chdir(folder)
    for name in ("DVC_STAGE", "DVC_ROOT"):
        os.environ.pop(name, None)
    os.environ |= {"OMP_NUM_THREADS": "1", processes.COUNT: str(count), checkpoint.SECONDS: seconds}
    torch.set_num_threads(1)
    options = {
        "run": "standard",
        "images": Path("train.parquet"),
        "out": Path("models"),
        "machine": Path("machine.csv"),
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with processes.in_every_process("stages.training", arguments):
        stage.main(**options)


if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    with processes.in_every_process("tests.members", sys.argv[1:]):
        if words == ["fail"] and processes.rank() == 1:
            sys.exit(3)
        work(Path(folder))
        sys.exit(0)
