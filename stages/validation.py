"""Do the attribution methods agree, and how faithful is each of them?"""

import pandas as pd

from spectroscope.attribution.compare import stacked
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.dataset.registry import DatasetSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation import summary
from spectroscope.validation.checks import ValidationSettings
from spectroscope.validation.recovery import planted_positions
from stages import In, Out


def main(attribution: In, images: In, tables: Out) -> None:
    checks = params.load("validation", ValidationSettings)
    statistics = params.load("statistics", StatisticsSettings)
    hf_from = params.load("attribution", AttributionSettings).hf_from
    reference = params.load("findings", FindingsSettings).reference
    planted = planted_positions(params.load("dataset", DatasetSettings))
    study, clusters = params.read(), io.read_images(images).clusters.numpy()
    permuted = [run for run, entry in study["runs"].items() if study["bands"][entry["band"]]["keep"] == "permuted"]
    runs = {
        run: {name: io.read_table(attribution / run / f"{name}.parquet") for name in summary.READ}
        for run in study["runs"]
    }

    found = [summary.of_run(run, read, hf_from, clusters, statistics) for run, read in runs.items()]
    found.append(summary.across_runs(runs, permuted, reference, planted, hf_from, checks, clusters, statistics))

    for name, table in stacked(found).items():
        io.write_table(tables / f"{name}.csv", table if len(table.columns) else pd.DataFrame(columns=["run"]))


if __name__ == "__main__":
    start(main)
