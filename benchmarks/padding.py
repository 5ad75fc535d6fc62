"""Does the padding of random crops move what networks rely on? `python -m benchmarks.padding`.

Trains the runs `standard` and `adversarial` of a study with crops padded by zeros, padded by reflection, and without
crops; all else is as in the study. Prints a table in Markdown: the difference in the centroid of Occluded Frequency
(adversarial minus standard network of the same seed), the mean over seeds and each of them, for two scores; and the
share of the energy above DC that lies above the cut of a low-passed training set once its images are augmented.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn

from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.scores import Score
from spectroscope.attribution.summaries import centroid
from spectroscope.bands import BandSettings, apply_band
from spectroscope.dataset import registry
from spectroscope.frequency.spectrum import dct2, shells
from spectroscope.models import inference
from spectroscope.pipeline import io, machine, params, passes
from spectroscope.training.augmentation import Augmentation, augment
from spectroscope.training.loop import fit
from spectroscope.training.networks import initial_network
from spectroscope.training.regimes.adversarial import build_adversary
from spectroscope.training.regimes.registry import TrainedRegime, build_hooks
from spectroscope.training.settings import TrainingSettings

ROOT = Path(__file__).parents[1]
RUNS = ("standard", "adversarial")
SCORES: tuple[Score, ...] = ("logit", "margin")
CROPS = {"zero": {"padding": "zero"}, "reflect": {"padding": "reflect"}, "no crop": {"crop": 0}}


def leaked(images: Tensor, cut: int, settings: Augmentation) -> float:
    """Share of the energy above DC in the shells from `cut` on, after augmentation of images that have none there."""
    energy = dct2(augment(images, settings, machine.generator(0)).double()).square().sum((0, 1))
    index = shells(*images.shape[-2:])
    return float(energy[index >= cut].sum() / energy[index > 0].sum())


def trained(train: io.Images, model: str, regime: TrainedRegime, settings: TrainingSettings, seed: int) -> nn.Module:
    network = initial_network(model, train, seed).to(machine.device())
    hooks = build_hooks(regime, settings.validation_attack, *train.pixels.shape[-2:])
    attack = build_adversary(settings.validation_attack)
    list(fit(network, train, settings, hooks, attack, machine.generator(seed)))
    return inference.freeze(network)


def reliance(model: nn.Module, test: io.Images) -> dict[str, float]:
    """Accuracy, and the centroid of the mean over classes of Occluded Frequency by each score."""
    x, y = test.pixels.to(machine.device()), test.labels.to(machine.device())
    index = shells(*test.pixels.shape[-2:])
    found = {"accuracy": float((inference.predict(model, test.pixels) == test.labels).double().mean())}
    for score in SCORES:
        drops = occluded_frequency(model, x, y, index, score=score, chunk=passes.forward_batch_size(model, x)).cpu()
        curve = torch.stack([drops[test.labels == label].mean(0) for label in test.labels.unique()]).mean(0)
        found[score] = float(centroid(curve.numpy(), np.arange(len(curve))))
    return found


def row(name: str, found: dict[str, list[dict[str, float]]], leak: float) -> str:
    """A line of the table; `found`: for each run, the figures of its networks."""
    cells = []
    for score in SCORES:
        pairs = zip(*(found[run] for run in reversed(RUNS)), strict=True)
        values = [adversarial[score] - standard[score] for adversarial, standard in pairs]
        cells.append(f"{np.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})")
    accuracies = [f"{np.mean([figures['accuracy'] for figures in found[run]]):.3f}" for run in RUNS]
    return " | ".join([f"| {name}", *cells, *accuracies, f"{leak:.3f} |"])


def main(
    study: Annotated[Path, typer.Option(help="Parameter file: images, recipe, runs.")] = ROOT / "params.yaml",
    seeds: Annotated[int, typer.Option(help="Networks of each run.")] = 3,
    images: Annotated[int, typer.Option(help="Test images.")] = 400,
    low: Annotated[str, typer.Option(help="The band of the low-passed training set.")] = "low",
) -> None:
    data = registry.load(params.load("dataset", registry.DatasetSettings, study))
    train, test = (replace(split, pixels=split.pixels / 255) for split in (data.train, data.test.head(images)))
    settings = params.load("training", TrainingSettings, study)
    band = params.load(f"bands.{low}", BandSettings, study)
    entry = params.read(study)["bands"][low]
    if entry.get("unit") != "shells":
        raise ValueError(f"bands.{low}.unit: expected shells, got {entry.get('unit')}")
    filtered, cut = apply_band(train, band, training=True).pixels, entry["high"]
    print(f"| padding | {' | '.join(SCORES)} | accuracy, {' | accuracy, '.join(RUNS)} | leaked energy |")
    print("|---" * (len(SCORES) + len(RUNS) + 2) + "|")
    for name, change in CROPS.items():
        augmentation = settings.augmentation.model_copy(update=change)
        recipe = settings.model_copy(update={"augmentation": augmentation})
        found: dict[str, list[dict[str, float]]] = {}
        for run in RUNS:
            regime = params.load(f"runs.{run}.regime", TrainedRegime, study)
            model = params.load(f"runs.{run}.model", str, study)
            found[run] = [reliance(trained(train, model, regime, recipe, seed), test) for seed in range(seeds)]
        print(row(name, found, leaked(filtered, cut, augmentation)), flush=True)
    print(f"\n{study.name}, {seeds} networks of each run, {images} test images; {machine.describe()}")


if __name__ == "__main__":
    typer.run(main)
