"""Which bands does each network need, which does it represent, and where are its margins small?"""

import pandas as pd

from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import device
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.probing.tables import ProbingSettings, probe
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from stages import In, Out


def main(weights: In, images: In, attacks: In, tables: Out, estimates: Out) -> None:
    settings = params.load("probing", ProbingSettings)
    statistics = params.load("statistics", StatisticsSettings)
    n_images = max(probe.n_images for _, probe in settings if probe is not None)
    study, test = params.read(), io.read_images(images).head(n_images)
    pixels, labels, clusters = test.pixels.to(device()), test.labels.to(device()), test.clusters.numpy()

    results: dict[str, list[pd.DataFrame]] = {name: [] for name, _ in settings}
    for run, entry in track(study["runs"].items(), "probing"):
        files = (weights / run, entry["model"], test.pixels.shape[1:], len(test.classes))
        networks, unfolded = inference.restore_all(*files), inference.restore_all(*files, fold=False)
        attack, *_ = io.read_attack(attacks / run / f"{settings.masks.attack}.parquet").values()
        for name, table in probe(networks, unfolded, pixels, labels, clusters, attack, settings, statistics).items():
            table.insert(0, "run", run)
            results[name].append(table)

    cells.write({name: pd.concat(parts) for name, parts in results.items()}, tables, estimates)


if __name__ == "__main__":
    start(main)
