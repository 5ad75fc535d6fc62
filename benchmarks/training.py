"""The training loop beside a usual loop of transforms and DataLoader: `python -m benchmarks.training`.

One network, one recipe, the training images of a study. All loops run side by side, one epoch each in turn, so that
noise of the machine affects all alike. The table has medians over epochs of images per second; the seconds of training
until held-out accuracy, clean and under the study's validation attack, first reached a target; and the cost of a step
in forward and backward passes, of which an attack with k steps needs k + 1, as a ratio to those of standard training.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset

from spectroscope.dataset import registry
from spectroscope.models.held_out import split
from spectroscope.pipeline import io, machine, params
from spectroscope.training import held_out, loop
from spectroscope.training.augmentation import MODES, Augmentation
from spectroscope.training.hooks import Adversary, TrainingHooks
from spectroscope.training.networks import initial_network
from spectroscope.training.regimes.adversarial import AdversarialLinf, build_adversary
from spectroscope.training.settings import TrainingSettings

ROOT = Path(__file__).parents[1]
ATTACKS = {  # name: number of steps, step size in units of 1/255
    "standard": None,
    "1 step": (1, 10),
    "PGD-7": (7, 2),
}
LOOPS = (("standard", "plain"), ("standard", "ours"), ("1 step", "plain"), ("1 step", "ours"), ("PGD-7", "ours"))
COLUMNS = "trained against | loop | images/s | x plain | s to {:.0%} clean | s to {:.0%} robust | clean | robust"
Rows = list[dict[str, Any]]


class Pictures(Dataset):
    """Images (N, 3, H, W), augmented and turned into tensors one by one by torchvision's transforms."""

    def __init__(self, images: Tensor, labels: Tensor, augmentation: Augmentation) -> None:
        from torchvision import transforms

        size = tuple(images.shape[-2:])
        crop = transforms.RandomCrop(size, augmentation.crop, padding_mode=MODES[augmentation.padding])
        steps = [crop, transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.pictures = [transforms.ToPILImage()(image) for image in (images * 255).round().to(torch.uint8)]
        self.labels, self.transform = labels, transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[i]), int(self.labels[i])


def plain_fit(
    model: nn.Module,
    train: io.Images,
    settings: TrainingSettings,
    hooks: TrainingHooks,
    validation_attack: Adversary,
    generator: Generator,
) -> Iterator[dict[str, Any]]:
    """`loop.fit` as one would usually write it: yields the same accuracies after each epoch."""
    inner, out = split(train, settings.held_out)
    device = next(model.parameters()).device
    validation = train.pixels[out].to(device), train.labels[out].to(device)
    pictures = Pictures(train.pixels[inner], train.labels[inner], settings.augmentation)
    loader = DataLoader(pictures, settings.batch_size, shuffle=True, num_workers=2, persistent_workers=True)
    next(iter(loader))  # starts the workers
    rate = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimiser = torch.optim.SGD(model.parameters(), momentum=settings.momentum, nesterov=True, **rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate,
        total_steps=settings.epochs * len(loader),
        pct_start=settings.warmup,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    for epoch in range(settings.epochs):
        model.train()
        started = time.perf_counter()
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            x = hooks.adversary(model, x, y, generator) if hooks.adversary else x
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        speed = len(inner) / (time.perf_counter() - started)
        accuracies = held_out.accuracies(model.eval(), *validation, validation_attack, None, epoch)
        yield {**accuracies, "images_per_second": speed}


def hooks_of(attack: AdversarialLinf, name: str) -> TrainingHooks:
    """Training against the validation attack's ball, with the steps of this name."""
    if ATTACKS[name] is None:
        return TrainingHooks()
    steps, step_255 = ATTACKS[name]
    settings = attack.model_copy(update={"steps": steps, "step_255": step_255})
    return TrainingHooks(adversary=build_adversary(settings))


def seconds_to(rows: Rows, n: int, column: str, target: float) -> str:
    """Seconds of training, on n images an epoch, until the first epoch with this accuracy."""
    seconds = 0.0
    for row in rows:
        seconds += n / row["images_per_second"]
        if row[column] >= target:
            return f"{seconds:.1f}"
    return "-"


def report(rows: dict[tuple[str, str], Rows], n: int, clean: float, robust: float) -> Iterator[str]:
    """The lines of the table; `rows`: by (trained against, loop)."""

    def speed_ratio(over: tuple[str, str], under: tuple[str, str]) -> float:
        pairs = zip(rows[over], rows[under], strict=True)
        return statistics.median(a["images_per_second"] / b["images_per_second"] for a, b in pairs)

    yield f"| {COLUMNS.format(clean, robust)} | a step / (steps + 1) |"
    yield "|---" * 9 + "|"
    for (name, kind), epochs in rows.items():
        speed = statistics.median(row["images_per_second"] for row in epochs)
        gain = f"{speed_ratio((name, kind), (name, 'plain')):.2f}" if (name, "plain") in rows else "-"
        passes = ATTACKS[name][0] + 1 if ATTACKS[name] else 1
        cost = f"{speed_ratio(('standard', kind), (name, kind)) / passes:.2f}"
        times = seconds_to(epochs, n, "clean", clean), seconds_to(epochs, n, "robust", robust)
        last = f"{epochs[-1]['clean']:.3f} | {epochs[-1]['robust']:.3f}"
        yield f"| {name} | {kind} | {speed:.0f} | {gain} | {times[0]} | {times[1]} | {last} | {cost} |"


def main(
    study: Annotated[Path, typer.Option(help="Parameter file: images, recipe, attack.")] = ROOT / "params.yaml",
    model: Annotated[str, typer.Option(help="The network.")] = "resnet8",
    epochs: Annotated[int, typer.Option(help="Epochs of each loop.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 128,
    images: Annotated[int, typer.Option(help="Training images, held-out ones included.")] = 2400,
    clean: Annotated[float, typer.Option(help="Clean accuracy to reach.")] = 0.5,
    robust: Annotated[float, typer.Option(help="Robust accuracy to reach.")] = 0.25,
) -> None:
    settings = params.load("training", TrainingSettings, study)
    settings = settings.model_copy(update={"epochs": epochs, "batch_size": batch_size})
    attack = build_adversary(settings.validation_attack)
    data = registry.load(params.load("dataset", registry.DatasetSettings, study)).train.head(images)
    train = replace(data, pixels=data.pixels / 255)
    n = len(split(train, settings.held_out)[0])
    runs = []
    for name, kind in LOOPS:
        network = initial_network(model, train, seed=0).to(machine.device())
        fit, hooks = plain_fit if kind == "plain" else loop.fit, hooks_of(settings.validation_attack, name)
        runs.append(fit(network, train, settings, hooks, attack, machine.generator(0)))
    side_by_side = zip(*runs, strict=True)  # an epoch of each loop in turn
    rows = dict(zip(LOOPS, map(list, zip(*side_by_side, strict=True)), strict=True))
    print("\n".join(report(rows, n, clean, robust)))
    setup = f"{model}, {n} training and {len(train) - n} held-out images of {study.name}, one seed"
    print(f"\n{setup}, {epochs} epochs of {batch_size} images a step; {machine.describe()}")


if __name__ == "__main__":
    typer.run(main)
