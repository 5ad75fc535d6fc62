"""Which frequencies does an attack change, and which would plain noise of the same size change?"""

import pandas as pd

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.perturbation.cell import TABLES, measure
from spectroscope.perturbation.settings import PerturbationSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from stages import In, Out, start


def main(images: In, attacks: In, maps: Out, classes: Out, tables: Out) -> None:
    settings = params.load("perturbation", PerturbationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)

    found = {}
    cells = [(run, attack) for run in study["runs"] for attack in study["attacks"]]
    for run, entry in track(cells, "perturb"):
        for attack, (change, rows) in io.read_attack(attacks / run / f"{entry}.parquet").items():
            fooled = rows.index[rows["success"] & (rows["image"] < settings.n_images)].to_numpy(copy=True)
            if not len(fooled):
                continue
            units = rows.loc[fooled, ["seed", "image"]].to_numpy(copy=True)
            clean, labels = test.pixels[units[:, 1]], test.labels[units[:, 1]]
            cell = measure(clean, change[fooled], units, labels, test.classes, settings, statistics)
            for name, table in cell.items():
                table.insert(0, "run", run)
                table.insert(1, "attack", attack)
                found.setdefault(name, []).append(table)

    if not found:  # a result too, if a poor one: the page says so
        found = {name: [pd.DataFrame(columns=["run", "attack"])] for name in TABLES}

    io.write_table(maps, pd.concat(found.pop("maps")))
    io.write_table(classes, pd.concat(found.pop("classes")))
    for name, parts in found.items():
        io.write_table(tables / f"{name}.csv", pd.concat(parts))


if __name__ == "__main__":
    start(main)
