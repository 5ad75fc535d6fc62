"""How is it fooled?"""

import pandas as pd
import torch

from spectroscope import checkpoint, io, params, processes, runtime
from spectroscope.attacks import suite
from spectroscope.attacks.settings import AttackSettings
from spectroscope.models import restore_all
from stages import In, Name, Out, start


def main(run: Name, attack: Name, models: In, images: In, out: Out) -> None:
    settings = params.load(f"attacks.{attack}", AttackSettings)
    architecture = params.load(f"runs.{run}.model", str)
    test = io.read_images(images).head(settings.n_images)
    shape, n_classes = tuple(test.pixels.shape[1:]), len(test.classes)
    inputs = {"models": checkpoint.digest(models), "images": checkpoint.digest(images)}

    perturbations, tables = [], []
    with checkpoint.opened("attack", settings=settings.model_dump(), run=run, **inputs) as store:
        for seed, model in restore_all(models, architecture, shape=shape, n_classes=n_classes):
            size = processes.at_once(len(test), runtime.images_at_once())
            change, table = suite.run_entry(settings, model, test.pixels, test.labels, seed, size, store)
            perturbations.append(change)
            tables.append(pd.concat([pd.DataFrame({"seed": seed}, table.index), table], axis=1))

        if processes.rank() == 0:
            io.write_arrays(out, torch.cat(perturbations), pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    start(main, processes.together)
