"""Do the attribution methods agree, and how faithful is each of them?"""

import numpy as np
import pandas as pd

from spectroscope.attribution.compare import stacked
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation import summary
from spectroscope.validation.checks import ValidationSettings
from spectroscope.validation.recovery import planted_positions
from stages import In, Out


def main(attribution: In, images: In, tables: Out, estimates: Out) -> None:
    checks = params.load("validation", ValidationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    attributed = params.load("attribution", AttributionSettings)
    reference = params.load("findings", FindingsSettings).reference
    planted = planted_positions(params.load("dataset", DatasetSettings))
    study, clusters = params.read(), io.read_images(images).clusters.numpy()
    permuted = [run for run, entry in study["runs"].items() if study["bands"][entry["band"]]["keep"] == "permuted"]
    runs = {
        run: {name: io.read_table(attribution / run / f"{name}.parquet") for name in summary.READ}
        for run in study["runs"]
    }

    found = [summary.of_run(run, read, attributed.hf_from, clusters, statistics) for run, read in runs.items()]
    everything = (runs, permuted, reference, planted, attributed.hf_from, checks, clusters, statistics)
    found.append(summary.across_runs(*everything, np.random.default_rng(attributed.seed)))
    results = stacked(found)

    cells.store(results, estimates)
    for name in set(results) - {"choices"}:  # of each run alone; the table of their differences is `multiverse`
        table = results[name].drop(columns=cells.CELLS, errors="ignore")
        io.write_table(tables / f"{name}.csv", table if len(table.columns) else pd.DataFrame(columns=["run"]))


if __name__ == "__main__":
    start(main)
