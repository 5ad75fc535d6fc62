"""What does a network learn from a band, with or without an adversary?"""

from pathlib import Path

import pandas as pd

from spectroscope import cards, checkpoint, given, io, models, params, processes, runtime, training
from spectroscope.progress import track
from spectroscope.regimes.adversary import adversary
from spectroscope.regimes.parts import parts
from spectroscope.regimes.settings import Adversarial, Given, Regime
from stages import In, Name, Out, start


def main(run: Name, images: In, out: Out) -> None:
    settings = params.load("training", training.TrainingSettings)
    regime = params.load(f"runs.{run}.regime", Regime)
    name = params.load(f"runs.{run}.model", str)
    judge = params.load("judge", Adversarial)
    train = io.read_images(images)
    told = {"regime": regime.model_dump(), "model": name, "training": settings.model_dump()}
    if isinstance(regime, Given):
        networks, rows = given.adopt(regime, name, train, settings, adversary(judge))
        if processes.rank() == 0:
            for seed, model in enumerate(networks):
                io.write_weights(out / f"seed{seed}.safetensors", model)
            describe(run, told, train, images, rows, out)
        return
    method = parts(regime, *train.pixels.shape[-2:])
    work = {**told, "training": settings.model_dump(exclude={"seeds"}), "judge": judge.model_dump()}

    rows = []
    with checkpoint.opened("train", **work, images=checkpoint.digest(images)) as store:
        for seed in settings.seeds:
            runtime.seed(seed)
            model = models.build(name, train.pixels.shape[1:], len(train.classes))
            model[0].fit(train.pixels)
            model.to(runtime.device())
            parted = train.pixels, train.labels, settings, runtime.generator(seed), method, adversary(judge)
            epochs = training.fit(model, *parted, store.slot(f"seed{seed}"))
            found = list(track(epochs, f"train {run}, seed {seed}, epochs", total=settings.epochs))
            chosen = training.kept(found, settings.keep)
            rows += [{"seed": seed, **row, "kept": number == chosen} for number, row in enumerate(found)]
            if processes.rank() == 0:
                io.write_weights(out / f"seed{seed}.safetensors", model)
        if processes.rank() == 0:
            describe(run, told, train, images, rows, out)


def describe(run: str, told: dict, train: io.Images, images: Path, rows: list[dict], out: Path) -> None:
    table = pd.DataFrame(rows)
    io.write_table(out / "epochs.csv", table)
    io.write_json(out / "card.json", cards.card(run, told, train, io.read_facts(images), table))


if __name__ == "__main__":
    start(main, processes.together)
