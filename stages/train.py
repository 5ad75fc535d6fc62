"""What does a network learn from a band, with or without an adversary?"""

import pandas as pd

from spectroscope import io, models, params, runtime, training
from spectroscope.progress import track
from spectroscope.regimes import Adversarial, Regime, adversary
from stages import In, Name, Out, start


def main(run: Name, images: In, out: Out) -> None:
    settings = params.load("training", training.TrainingSettings)
    regime = params.load(f"runs.{run}.regime", Regime)
    name = params.load(f"runs.{run}.model", str)
    judge = adversary(params.load("judge", Adversarial))
    train = io.read_images(images)

    rows = []
    for seed in settings.seeds:
        runtime.seed(seed)
        model = models.build(name, train.pixels.shape[1:], len(train.classes))
        model[0].fit(train.pixels)
        model.to(runtime.device())
        epochs = training.fit(
            model, train.pixels, train.labels, settings, runtime.generator(seed), adversary(regime), judge
        )
        for row in track(epochs, f"train {run}, seed {seed}, epochs", total=settings.epochs):
            rows.append({"seed": seed, **row})
        io.write_weights(out / f"seed{seed}.safetensors", model)

    io.write_table(out / "epochs.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    start(main)
