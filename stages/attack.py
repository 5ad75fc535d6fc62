"""How is it fooled?"""

import pandas as pd
import torch

from spectroscope import io, params, runtime
from spectroscope.attacks import suite
from spectroscope.attacks.settings import AttackSettings
from spectroscope.models import restore_all
from stages import In, Name, Out, start


def main(run: Name, attack: Name, models: In, images: In, out: Out) -> None:
    settings = params.load(f"attacks.{attack}", AttackSettings)
    architecture = params.load(f"runs.{run}.model", str)
    test = io.read_images(images).head(settings.n_images)
    shape, n_classes = tuple(test.pixels.shape[1:]), len(test.classes)

    perturbations, tables = [], []
    for seed, model in restore_all(models, architecture, shape=shape, n_classes=n_classes):
        outcome = suite.run(settings, model, test.pixels, test.labels, seed, runtime.images_at_once())
        rows = {"seed": seed, "image": range(len(test)), "label": test.labels.numpy()}
        tables.append(pd.concat([pd.DataFrame(rows), outcome.table()], axis=1))
        perturbations.append(outcome.perturbation)

    io.write_arrays(out, torch.cat(perturbations), pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    start(main)
