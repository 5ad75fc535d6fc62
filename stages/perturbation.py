"""Which frequencies does an attack change, compared with noise of the same size?"""

import pandas as pd

from spectroscope.bootstrap import StatisticsSettings
from spectroscope.perturbation.cell import TABLES, measure
from spectroscope.perturbation.settings import PerturbationSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from stages import In, Out


def main(images: In, attacks: In, maps: Out, classes: Out, tables: Out) -> None:
    settings = params.load("perturbation", PerturbationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)

    tables_by_name: dict[str, list[pd.DataFrame]] = {}
    cells = [(run, attack) for run in study["runs"] for attack in study["attacks"]]
    for run, entry in track(cells, "perturbation, runs x attacks"):
        for attack, (perturbations, rows) in io.read_attack(attacks / run / f"{entry}.parquet").items():
            fooled = rows.index[rows["success"] & (rows["image"] < settings.n_images)].to_numpy(copy=True)
            if not len(fooled):
                continue
            units = rows.loc[fooled, ["seed", "image"]].to_numpy(copy=True)
            clean, labels = test.pixels[units[:, 1]], test.labels[units[:, 1]]
            cell = measure(clean, perturbations[fooled], units, labels, test.classes, settings, statistics)
            for name, table in cell.items():
                table.insert(0, "run", run)
                table.insert(1, "attack", attack)
                tables_by_name.setdefault(name, []).append(table)

    if not tables_by_name:  # no attack fooled any network: empty tables, and the page says so
        tables_by_name = {name: [pd.DataFrame(columns=["run", "attack"])] for name in TABLES}

    io.write_table(maps, pd.concat(tables_by_name.pop("maps")))
    io.write_table(classes, pd.concat(tables_by_name.pop("classes")))
    for name, cell_tables in tables_by_name.items():
        io.write_table(tables / f"{name}.csv", pd.concat(cell_tables))


if __name__ == "__main__":
    start(main)
