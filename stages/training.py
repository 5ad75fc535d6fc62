"""What does each network learn from its band, in its training regime?"""

import pandas as pd

from spectroscope.models import own_networks
from spectroscope.pipeline import checkpoint, io, params, processes
from spectroscope.pipeline.machine import describe, set_threads
from spectroscope.pipeline.supervision import start
from spectroscope.training import cards, pretrained
from spectroscope.training.networks import train_networks
from spectroscope.training.regimes.adversarial import build_adversary
from spectroscope.training.regimes.pretrained import Pretrained
from spectroscope.training.run import Run
from spectroscope.training.settings import TrainingSettings, settings_of_run
from spectroscope.training.start import provenance
from stages import In, Name, Out, Record


def main(run: Name, images: In, out: Out, machine: Record) -> None:
    chosen = params.load(f"runs.{run}", Run)
    settings = settings_of_run(params.load("training", TrainingSettings), chosen.training)
    regime, architecture = chosen.regime, chosen.model
    set_threads(settings.threads)
    train = io.read_images(images)

    network = {"regime": regime.model_dump(), "model": architecture}
    if chosen.start is not None:
        network["start"] = provenance(chosen.start, settings.seeds)
    work = {**network, "training": settings.model_dump(exclude={"seeds"}), "images": checkpoint.digest(images)}
    work |= {"own_network": own_networks.digests(architecture)}
    with checkpoint.open_store("training", **work) as store:
        if isinstance(regime, Pretrained):
            attack = build_adversary(settings.validation_attack)
            networks, rows = pretrained.adopt(regime, architecture, train, settings, attack)
        else:
            networks, rows = train_networks(run, regime, architecture, chosen.start, train, settings, store)

        if processes.rank() == 0:  # before the store closes: a kill between the two would lose the training
            epochs = pd.DataFrame(rows)
            for seed, model in zip(epochs["seed"].unique(), networks, strict=True):
                io.write_weights(out / f"seed{seed}.safetensors", model)
            speed = ["images_per_second", "processes"]
            io.write_table(machine, epochs[["seed", "epoch", *speed]].assign(**describe()))
            epochs = epochs.drop(columns=speed)
            io.write_table(out / "epochs.csv", epochs)
            recipe = {**network, "training": settings.model_dump(exclude={"validation_attack", "threads"})}
            io.write_json(out / "card.json", cards.describe(run, recipe, train, io.read_facts(images), epochs))


if __name__ == "__main__":
    start(main, distributed=True)
