"""The training loop beside a plain loop of transforms and DataLoader: `python -m benchmarks.training`.

One network, one recipe, the training images of a study. The loops run side by side, an epoch each in turn, so that a
noisy machine strikes all alike. The table has medians over epochs of images per second; the seconds of training until
held-out accuracy, clean and under the study's judge, was first as high as asked; and what a step costs beside those of
the standard loop of its kind, in (steps + 1) of them.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from spectroscope.dataset import registry
from spectroscope.models import architectures
from spectroscope.pipeline import machine as runtime
from spectroscope.pipeline import params
from spectroscope.training import loop as training
from spectroscope.training.adversary import adversary
from spectroscope.training.hooks import Parts
from spectroscope.training.regimes import Adversarial

ROOT = Path(__file__).parents[1]
ATTACKS = {  # trained against: by name the steps, and the size of each in grey levels
    "standard": None,
    "1 step": (1, 10),
    "PGD-7": (7, 2),
}
LOOPS = (("standard", "plain"), ("standard", "ours"), ("1 step", "plain"), ("1 step", "ours"), ("PGD-7", "ours"))
Rows = Iterator[dict[str, Any]]


class Pictures(Dataset):
    """Images (N, 3, H, W), augmented and made tensors one by one, as torchvision's transforms do."""

    def __init__(self, images: Tensor, labels: Tensor, crop: int) -> None:
        from torchvision import transforms

        size = tuple(images.shape[-2:])
        steps = [transforms.RandomCrop(size, crop), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.pictures = [transforms.ToPILImage()(image) for image in (images * 255).round().to(torch.uint8)]
        self.labels, self.transform = labels, transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[i]), int(self.labels[i])


def plain(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: training.TrainingSettings,
    generator: torch.Generator,
    parts: Parts,
    judge: Any,
) -> Rows:
    """`training.fit` as one would write it: the same figures after each epoch."""
    inner, out = training.split(labels, settings.held_out)
    device = next(model.parameters()).device
    held = images[out].to(device), labels[out].to(device)
    pictures = Pictures(images[inner], labels[inner], settings.augmentation.crop)
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
            x = parts.adversary(model, x, y, generator) if parts.adversary else x
            loss = F.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        speed = len(inner) / (time.perf_counter() - started)
        yield {**training.accuracies(model.eval(), *held, judge, epoch), "images_per_second": speed}


def adversary_of(judge: Adversarial, name: str) -> Any:
    """What a loop trains against: the judge's ball and norm, the steps of this name."""
    if ATTACKS[name] is None:
        return None
    steps, size = ATTACKS[name]
    return adversary(judge.model_copy(update={"steps": steps, "step_255": size}))


def reached(rows: list[dict[str, Any]], n: int, key: str, least: float) -> str:
    """Seconds of training on n images an epoch until the first epoch with this accuracy."""
    seconds = 0.0
    for row in rows:
        seconds += n / row["images_per_second"]
        if row[key] >= least:
            return f"{seconds:.1f}"
    return "-"


def main(
    study: Annotated[Path, typer.Option(help="Parameter file: images, recipe, judge.")] = ROOT / "params.yaml",
    model: Annotated[str, typer.Option(help="The network.")] = "resnet8",
    epochs: Annotated[int, typer.Option(help="Epochs of each loop.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 128,
    images: Annotated[int, typer.Option(help="Training images, held-out ones included.")] = 2400,
    clean: Annotated[float, typer.Option(help="Clean accuracy to reach.")] = 0.5,
    robust: Annotated[float, typer.Option(help="Robust accuracy to reach.")] = 0.25,
) -> None:
    recipe = params.load("training", training.TrainingSettings, study)
    recipe = recipe.model_copy(update={"epochs": epochs, "batch_size": batch_size})
    judge = recipe.validation_attack
    data = registry.load(params.load("dataset", registry.DatasetSettings, study)).train.head(images)
    pixels = data.pixels / 255
    n = len(training.split(data.labels, recipe.held_out)[0])
    loops = []
    for name, loop in LOOPS:
        runtime.seed(0)
        network = architectures.build(model, tuple(data.pixels.shape[1:]), len(data.classes))
        network.normalise.fit(pixels)
        network.to(runtime.device())
        against = adversary_of(judge, name)
        parts = Parts(None, against, None, robust=against is not None)
        fit = plain if loop == "plain" else training.fit
        loops.append(fit(network, pixels, data.labels, recipe, runtime.generator(0), parts, adversary(judge)))
    rows = dict(zip(LOOPS, map(list, zip(*zip(*loops, strict=True), strict=True)), strict=True))

    def ratio(over: tuple[str, str], under: tuple[str, str]) -> float:
        pairs = zip(rows[over], rows[under], strict=True)
        return statistics.median(a["images_per_second"] / b["images_per_second"] for a, b in pairs)

    print(f"| trained against | loop | images/s | x plain | s to {clean:.0%} clean | s to {robust:.0%} robust ", end="")
    print("| clean | robust | a step / (steps + 1) |\n|---|---|---|---|---|---|---|---|---|")
    for (name, loop), found in rows.items():
        speed = statistics.median(row["images_per_second"] for row in found)
        gain = f"{ratio((name, loop), (name, 'plain')):.2f}" if (name, "plain") in rows else "-"
        steps = ATTACKS[name][0] + 1 if ATTACKS[name] else 1
        cost = f"{ratio(('standard', loop), (name, loop)) / steps:.2f}"
        times = reached(found, n, "clean", clean), reached(found, n, "robust", robust)
        last = f"{found[-1]['clean']:.3f} | {found[-1]['robust']:.3f}"
        print(f"| {name} | {loop} | {speed:.0f} | {gain} | {times[0]} | {times[1]} | {last} | {cost} |")
    what = f"{model}, {n} training and {len(data.labels) - n} held-out images of {study.name}, one seed"
    print(f"\n{what}, {epochs} epochs of {batch_size} images a step; {runtime.describe()}")


if __name__ == "__main__":
    typer.run(main)
