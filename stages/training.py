"""What does each network learn from its band, in its training regime?"""

from pathlib import Path

import pandas as pd

from spectroscope.models import inference
from spectroscope.pipeline import checkpoint, io, machine, params, processes
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.training import cards, loop, pretrained
from spectroscope.training.adversary import adversary
from spectroscope.training.hooks import parts
from spectroscope.training.regimes import Pretrained, Regime
from stages import In, Name, Out


def main(run: Name, images: In, out: Out) -> None:
    settings = params.load("training", loop.TrainingSettings)
    regime = params.load(f"runs.{run}.regime", Regime)
    name = params.load(f"runs.{run}.model", str)
    validation_attack = settings.validation_attack
    train = io.read_images(images)
    description = {
        "regime": regime.model_dump(),
        "model": name,
        "training": settings.model_dump(exclude={"validation_attack"}),
    }
    if isinstance(regime, Pretrained):
        networks, rows = pretrained.adopt(regime, name, train, settings, adversary(validation_attack))
        if processes.rank() == 0:
            for seed, model in enumerate(networks):
                io.write_weights(out / f"seed{seed}.safetensors", model)
            describe(run, description, train, images, rows, out)
        return
    method = parts(regime, *train.pixels.shape[-2:])
    work = {
        **description,
        "training": settings.model_dump(exclude={"seeds", "validation_attack"}),
        "validation_attack": validation_attack.model_dump(),
    }

    rows = []
    with checkpoint.open_store("training", **work, images=checkpoint.digest(images)) as store:
        for seed in settings.seeds:
            machine.seed(seed)
            model = inference.build(name, train.pixels.shape[1:], len(train.classes))
            model[0].fit(train.pixels)
            model.to(machine.device())
            parted = train.pixels, train.labels, settings, machine.generator(seed), method, adversary(validation_attack)
            epochs = loop.fit(model, *parted, store.checkpoint_file(f"seed{seed}"))
            found = list(track(epochs, f"train {run}, seed {seed}, epochs", total=settings.epochs))
            chosen = loop.kept(found, settings.keep)
            rows += [{"seed": seed, **row, "kept": number == chosen} for number, row in enumerate(found)]
            if processes.rank() == 0:
                io.write_weights(out / f"seed{seed}.safetensors", model)
        if processes.rank() == 0:
            describe(run, description, train, images, rows, out)


def describe(run: str, description: dict, train: io.Images, images: Path, rows: list[dict], out: Path) -> None:
    table = pd.DataFrame(rows)
    io.write_table(out / "epochs.csv", table)
    io.write_json(out / "card.json", cards.card(run, description, train, io.read_facts(images), table))


if __name__ == "__main__":
    start(main, distributed=True)
