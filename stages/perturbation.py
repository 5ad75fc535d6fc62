"""Which frequencies does an attack change, compared with noise of the same size?"""

import pandas as pd

from spectroscope.perturbation.spectra import PerturbationSettings
from spectroscope.perturbation.tables import TABLES, measure
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from stages import In, Out


def main(images: In, attacks: In, maps: Out, classes: Out, tables: Out, estimates: Out) -> None:
    settings = params.load("perturbation", PerturbationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    study, test = params.read(), io.read_images(images)

    results: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    pairs = [(run, entry) for run in study["runs"] for entry in study["attacks"]]
    for run, entry in track(pairs, "perturbation"):
        for attack, (change, outcomes) in io.read_attack(attacks / run / f"{entry}.parquet").items():
            for name, table in measure(test, change, outcomes, settings, statistics).items():
                table.insert(0, "run", run)
                table.insert(1, "attack", attack)
                results[name].append(table)

    # Without a single success the tables are empty, and the page says so.
    found = {name: pd.concat(parts or [pd.DataFrame(columns=["run", "attack"])]) for name, parts in results.items()}
    for name, file in {"maps": maps, "classes": classes}.items():
        io.write_table(file, found.pop(name))
    cells.write(found, tables, estimates)


if __name__ == "__main__":
    start(main)
