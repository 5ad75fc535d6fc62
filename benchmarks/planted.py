"""What measures say of small networks trained on two planted cues: `python -m benchmarks.planted [seeds]`.

Three cases that `studies/planted.yaml`, with its one cue, cannot tell apart: two cues that say the same, a label that
needs both, and a large unreliable low cue beside a small reliable high one. Training as in that study; printed is a
table in Markdown: means over seeds, and their standard deviations.
"""

import sys
from pathlib import Path

import pandas as pd
import torch

from spectroscope.attribution.methods import Task, measure
from spectroscope.attribution.occlusion import coalition_logits
from spectroscope.attribution.settings import MethodSettings
from spectroscope.dataset.planted import PlantedSettings, load
from spectroscope.frequency.partitions import partition
from spectroscope.models import architectures, inference
from spectroscope.pipeline import machine, params
from spectroscope.training import loop
from spectroscope.training.adversary import adversary
from spectroscope.training.hooks import parts
from spectroscope.training.regimes import Regime
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
MEASURES = {
    "OF": {"method": "occluded", "baseline": "zero", "channels": "each", "clip": False},
    "Shapley": {"method": "shapley", "baseline": "zero", "clip": False},
    "IG": {"method": "integrated_gradients", "baseline": "zero", "steps": 16},
    "heat map": {"method": "heat_map", "eps": 1, "value": "logit", "clip": False},
}
N = 80


def dataset(rule: str, low: dict, high: dict) -> PlantedSettings:
    plain = {"contrast": 1, "gain": 1, "agreement": 1}
    cues = [{"low": 1, "high": 4, **plain, **low}, {"low": 10, "high": 13, **plain, **high}]
    return params.validate(STUDY["dataset"] | {"rule": rule, "cues": cues}, PlantedSettings, "dataset")


def trained(train, regime: dict, seed: int) -> torch.nn.Module:
    settings = params.validate(STUDY["training"], loop.TrainingSettings, "training")
    method = parts(params.validate(regime, Regime, "regime"), *train.pixels.shape[-2:])
    judge = adversary(settings.validation_attack)
    machine.seed(seed)
    model = architectures.build("resnet8", train.pixels.shape[1:], len(train.classes))
    model.normalise.fit(train.pixels)
    list(loop.fit(model, train.pixels, train.labels, settings, machine.generator(seed), method, judge))
    return inference.freeze(model)


def told(model: torch.nn.Module, test, seed: int, of: torch.Tensor) -> dict[str, float]:
    """Accuracies with and without the cues, and what measures say of both, on the images `of`."""
    index = partition(*test.pixels.shape[-2:], "linf", 6, "dct")
    waves = partition(*test.pixels.shape[-2:], "linf", None, "dft")  # a wave of shell s is a cosine of DCT shell 2s
    task = Task(model, test.pixels[of], test.labels[of], "dct", index, waves, "margin", seed, 64)
    present = torch.ones(4, 6, dtype=torch.bool)
    present[1, LOW] = present[2, HIGH] = present[3, [LOW, HIGH]] = False
    options = {"basis": "dct", "baseline": None, "clip": False, "chunk": 64}
    logits = coalition_logits(model, test.pixels, index, present, **options)
    right = (logits.argmax(2) == test.labels[:, None]).double().mean(0)
    found = dict(zip(("accuracy", "without low", "without high", "without both"), right.tolist(), strict=True))
    removed = task.scores(coalition_logits(model, task.images, index, present, **options))
    both = (removed[:, 0] - removed[:, 3]).mean()
    for name, settings in MEASURES.items():
        values = measure(task, params.validate(settings, MethodSettings, name)).values.mean(0)
        low, high = (values[LOW], values[HIGH]) if name != "heat map" else (values[1], values[5:7].mean())
        found |= {f"{name} low": float(low), f"{name} high": float(high)}
        if name in ("OF", "Shapley"):
            found[f"{name} sum over removal of both"] = float((low + high) / both)
    hurt = faithfulness.interventions(task).groupby("band")[["right", "right_without", "right_other"]].mean()
    named = LOW if found["OF low"] > found["OF high"] else HIGH
    found["lost without the band OF names"] = hurt["right"][named] - hurt["right_without"][named]
    found["lost without equal energy of others"] = hurt["right"][named] - hurt["right_other"][named]
    return found


def main(seeds: int) -> None:
    columns = {}
    for case, (rule, low, high, regime) in CASES.items():
        data = load(dataset(rule, low, high))
        train, test = (
            type(each)(each.pixels.float() / 255, each.labels, each.classes) for each in (data.train, data.test)
        )
        of = (test.labels == 1).nonzero()[:, 0] if rule == "all" else torch.arange(len(test))
        rows = pd.DataFrame([told(trained(train, regime, seed), test, seed, of[:N]) for seed in range(seeds)])
        columns[f"{case} (n = {seeds})"] = [
            f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(rows.mean(), rows.std(), strict=True)
        ]
        names = list(rows)
    lines = [["", *columns], ["---"] * (1 + len(columns))]
    lines += [[name, *(cells[place] for cells in columns.values())] for place, name in enumerate(names)]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
