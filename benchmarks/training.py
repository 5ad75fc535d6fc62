"""The training loop beside a plain loop of transforms and DataLoader, one network: `python -m benchmarks.training`.

Prints images per second of both and their ratio, and the cost of an adversarial step in standard steps; medians over
repeats taken in turns, so that a noisy machine strikes all alike.
"""

import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from spectroscope import models, params, runtime, training
from spectroscope.regimes.parts import parts
from spectroscope.regimes.settings import Regime

IMAGES, BATCH, REPEATS, STEPS = 1024, 128, 3, 7
STUDY = Path(__file__).parents[1] / "studies" / "cifar10-cpu.yaml"
PGD = {"name": "adversarial", "norm": "linf", "eps_255": 8, "step_255": 2, "steps": STEPS, "random_start": True}


class Pictures(Dataset):
    """uint8 images, augmented and made tensors one by one, as torchvision's transforms do."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        from torchvision import transforms

        steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.pictures = [transforms.ToPILImage()(image) for image in images]
        self.labels, self.transform = labels, transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[i]), int(self.labels[i])


def plain_epoch(model: nn.Module, loader: DataLoader) -> float:
    """Images per second of an epoch as one would write it."""
    device = next(model.parameters()).device
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.0005, nesterov=True)
    model.train()
    started, seen = time.perf_counter(), 0
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen += len(x)
    return seen / (time.perf_counter() - started)


def our_epoch(model: nn.Module, images: Tensor, labels: Tensor, regime: dict) -> float:
    """Images per second of an epoch of the loop, its held-out measurements left out."""
    settings = params.load("training", training.TrainingSettings, STUDY)
    settings = settings.model_copy(update={"epochs": 1, "batch_size": BATCH, "held_out": 0.02})
    method = parts(params.validate(regime, Regime, "regime"), 32, 32)
    given = images, labels, settings, runtime.generator(0), method, lambda model, x, y, generator: x
    (row,) = training.fit(model, *given)
    return row["images_per_second"]


def main() -> None:
    runtime.seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32)).to(torch.uint8)
    images, labels = pixels / 255, torch.arange(IMAGES) % 10
    loader = DataLoader(Pictures(pixels, labels), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    new = lambda name: models.build(name, (3, 32, 32), 10).to(runtime.device())  # noqa: E731
    for name in ("resnet8",) if runtime.device().type == "cpu" else ("resnet8", "resnet18"):
        plain, ours, attacked = [], [], []
        plain_epoch(new(name), loader)  # starts the workers
        our_epoch(new(name), images, labels, {"name": "standard"})
        for _ in range(REPEATS):
            plain.append(plain_epoch(new(name), loader))
            ours.append(our_epoch(new(name), images, labels, {"name": "standard"}))
            attacked.append(our_epoch(new(name), images, labels, PGD))
        speeds = ", ".join(f"{statistics.median(each):.0f}" for each in (plain, ours, attacked))
        gain = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        cost = statistics.median(a / b for a, b in zip(ours, attacked, strict=True))
        print(f"{name}: {speeds} images per second plain, ours, with PGD-{STEPS}; ours {gain:.2f} x plain;", end=" ")
        print(f"a PGD-{STEPS} step costs {cost:.2f} standard steps, {cost / (STEPS + 1):.2f} x (steps + 1);", end=" ")
        print(f"n = {IMAGES} images, {REPEATS} repeats, {runtime.describe()}")


if __name__ == "__main__":
    main()
