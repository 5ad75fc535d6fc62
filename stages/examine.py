"""Which bands does each network need, remember, and give way in?"""

import numpy as np
import pandas as pd

from spectroscope import io, models, params
from spectroscope.examination import margins
from spectroscope.examination.settings import InversionSettings, MarginSettings, MaskSettings
from spectroscope.examination.tables import counterpart_rows, examine, mask_rows
from spectroscope.progress import track
from spectroscope.runtime import device
from spectroscope.stats import StatisticsSettings
from stages import In, Out, start


def main(weights: In, images: In, attacks: In, tables: Out) -> None:
    of_masks = params.load("masks", MaskSettings)
    settings = params.load("margins", MarginSettings), of_masks, params.load("inversion", InversionSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images).head(max(each.n_images for each in settings))
    pixels, labels = test.pixels.to(device()), test.labels.to(device())

    results = {"margins": [], "masks": [], "counterparts": []}
    for run, of_run in track(study["runs"].items(), "examine"):
        networks = models.restore_all(weights / run, of_run["model"], test.pixels.shape[1:], len(test.classes))
        change, rows = next(iter(io.read_attack(attacks / run / f"{of_masks.attack}.parquet").values()))
        seeds = [
            examine(net, pixels, labels, change, rows[rows["seed"] == seed], seed, settings) for seed, net in networks
        ]
        found = {name: np.stack([each[name] for each in seeds]) for name in seeds[0]}
        results["margins"].append(margins.rows(found["margins"], statistics).assign(run=run))
        results["masks"].append(mask_rows(found, of_masks.n_images, statistics).assign(run=run))
        results["counterparts"].append(counterpart_rows(found, statistics).assign(run=run))

    for name, parts in results.items():
        table = pd.concat(parts)
        io.write_table(tables / f"{name}.csv", table[["run", *table.columns.drop("run")]])


if __name__ == "__main__":
    start(main)
