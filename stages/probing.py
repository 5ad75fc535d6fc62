"""Which bands does each network need, which does it represent, and where are its margins small?"""

import numpy as np
import pandas as pd

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import device
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.probing import margins
from spectroscope.probing.settings import ProbingSettings
from spectroscope.probing.tables import counterpart_rows, examine, mask_rows
from stages import In, Out


def main(weights: In, images: In, attacks: In, tables: Out) -> None:
    probing = params.load("probing", ProbingSettings)
    of_masks, settings = probing.masks, (probing.margins, probing.masks, probing.counterparts)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images).head(max(each.n_images for each in settings))
    pixels, labels = test.pixels.to(device()), test.labels.to(device())

    results: dict[str, list[pd.DataFrame]] = {"margins": [], "masks": [], "counterparts": []}
    for run, run_settings in track(study["runs"].items(), "probing, runs"):
        networks = inference.restore_all(weights / run, run_settings["model"], test.pixels.shape[1:], len(test.classes))
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
