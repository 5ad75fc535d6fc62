"""What attribution methods say of small networks trained on two planted cues: `python -m benchmarks.planted [seeds]`.

Three cases that `studies/planted.yaml`, with its one cue, cannot tell apart: two redundant cues, a label that needs
both cues, and a large unreliable low-frequency cue beside a small reliable high-frequency one. Training is that of the
study. Prints a table in Markdown: mean ± standard deviation over seeds.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from spectroscope.attribution.coalitions import coalition_logits
from spectroscope.attribution.registry import MethodSettings, attribute
from spectroscope.attribution.task import Task
from spectroscope.dataset.planted import PlantedSettings, load
from spectroscope.frequency.partitions import partition
from spectroscope.models import inference
from spectroscope.pipeline import io, machine, params
from spectroscope.training.loop import fit
from spectroscope.training.networks import initial_network
from spectroscope.training.regimes.adversarial import build_adversary
from spectroscope.training.regimes.registry import Regime, build_hooks
from spectroscope.training.settings import TrainingSettings
from spectroscope.validation import faithfulness

STUDY = params.read(Path(__file__).parents[1] / "studies" / "planted.yaml")
LOW, HIGH = 1, 4  # bands of shells 1-3 and 10-12, among DC and five of three shells each
ADVERSARIAL = {"name": "adversarial", "norm": "linf", "eps_255": 8, "step_255": 4, "steps": 3, "random_start": True}
STANDARD = {"name": "standard"}
CASES = {
    "redundant": ("each", {}, {}, STANDARD),
    "conjunction": ("all", {}, {}, STANDARD),
    "robust, standard training": ("each", {"agreement": 0.85}, {"gain": 0.5}, STANDARD),
    "robust, adversarial training": ("each", {"agreement": 0.85}, {"gain": 0.5}, ADVERSARIAL),
}
METHODS = {
    "OF": {"method": "occluded", "baseline": "zero", "channels": "each", "clip": False},
    "Shapley": {"method": "shapley", "baseline": "zero", "clip": False},
    "IG": {"method": "integrated_gradients", "baseline": "zero", "steps": 16, "tolerance": 0.05, "most_steps": 256},
    "heat map": {"method": "heat_map", "eps": 1, "value": "logit", "clip": False},
}
N_IMAGES = 80


def dataset(rule: str, low: dict, high: dict) -> PlantedSettings:
    plain = {"contrast": 1, "gain": 1, "agreement": 1}
    cues = [{"low": 1, "high": 4, **plain, **low}, {"low": 10, "high": 13, **plain, **high}]
    changes = {"exponent": 1, "rule": rule, "cues": cues, "per_class": {"train": 400, "test": 40}}
    return params.validate(STUDY["dataset"] | changes, PlantedSettings, "dataset")


def trained(train: io.Images, regime: dict, seed: int) -> torch.nn.Module:
    settings = params.validate(STUDY["training"], TrainingSettings, "training")
    hooks = build_hooks(params.validate(regime, Regime, "regime"), settings.validation_attack, *train.pixels.shape[-2:])
    model, attack = initial_network("resnet8", train, seed), build_adversary(settings.validation_attack)
    list(fit(model, train, settings, hooks, attack, machine.generator(seed)))
    return inference.freeze(model)


def statistics(model: torch.nn.Module, test: io.Images, seed: int, rows: torch.Tensor) -> dict[str, float]:
    """Accuracies with and without the cues, and the scores of both cues by each method on the images `rows`."""
    index = partition(*test.pixels.shape[-2:], "linf", 6, "dct")
    waves = partition(*test.pixels.shape[-2:], "linf", None, "dft")  # a wave of shell s is a cosine of DCT shell 2s
    task = Task(model, test.pixels[rows], test.labels[rows], "dct", index, waves, "margin", seed, 64)
    present = torch.ones(4, 6, dtype=torch.bool)
    present[1, LOW] = present[2, HIGH] = present[3, [LOW, HIGH]] = False
    options = {"basis": "dct", "baseline": None, "clip": False, "chunk": 64}
    logits = coalition_logits(model, test.pixels, index, present, **options)
    right = (logits.argmax(2) == test.labels[:, None]).double().mean(0)
    result = dict(zip(("accuracy", "without low", "without high", "without both"), right.tolist(), strict=True))
    scores = task.scores(coalition_logits(model, task.images, index, present, **options))
    both = (scores[:, 0] - scores[:, 3]).mean()
    for name, settings in METHODS.items():
        values = attribute(task, params.validate(settings, MethodSettings, name)).values.mean(0)
        low, high = (values[LOW], values[HIGH]) if name != "heat map" else (values[1], values[5:7].mean())
        result |= {f"{name} low": float(low), f"{name} high": float(high)}
        if name in ("OF", "Shapley"):
            result[f"{name} sum over removal of both"] = float((low + high) / both)
    accuracy = faithfulness.interventions(task, 0).groupby("band")[["right", "right_without", "right_other"]].mean()
    top = LOW if result["OF low"] > result["OF high"] else HIGH
    result["lost without the band OF names"] = accuracy["right"][top] - accuracy["right_without"][top]
    result["lost without equal energy of others"] = accuracy["right"][top] - accuracy["right_other"][top]
    return result


def main(n_seeds: int) -> None:
    columns = {}
    for case, (rule, low, high, regime) in CASES.items():
        data = load(dataset(rule, low, high))
        train, test = (replace(split, pixels=split.pixels.float() / 255) for split in (data.train, data.test))
        rows = (test.labels == 1).nonzero()[:, 0] if rule == "all" else torch.arange(len(test))
        table = pd.DataFrame(
            [statistics(trained(train, regime, seed), test, seed, rows[:N_IMAGES]) for seed in range(n_seeds)]
        )
        columns[f"{case} (n = {n_seeds})"] = [
            f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in zip(table.mean(), table.std(), strict=True)
        ]
    lines = [["", *columns], ["---"] * (1 + len(columns)), *zip(table.columns, *columns.values(), strict=True)]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
