"""Do the attribution methods agree, and how faithful is each of them?"""

import pandas as pd

from spectroscope.attribution.tables import stacked
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import arrays, files, params  # not io, whose images and weights import torch
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation import summary
from spectroscope.validation.recovery import planted_positions
from stages import In, Out


def main(attribution: In, images: In, tables: Out, estimates: Out) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    reference = params.load("findings", FindingsSettings).reference
    study, clusters = params.read(), arrays.read_labels(images).clusters
    # Checked by the stages before; the classes of these sections import torch.
    attributed, planted = study["attribution"], planted_positions(study["dataset"])
    permuted = [run for run, entry in study["runs"].items() if study["bands"][entry["band"]]["keep"] == "permuted"]
    runs = {
        run: {name: files.read_table(attribution / run / f"{name}.parquet") for name in summary.READ}
        for run in study["runs"]
    }

    found = [summary.of_run(run, read, attributed["hf_from"], clusters, statistics) for run, read in runs.items()]
    found.append(summary.across_runs(runs, permuted, reference, planted, attributed["hf_from"], clusters, statistics))
    results = stacked(found)

    cells.store(results, estimates)
    for name in set(results) - {"choices"}:  # of each run alone; the table of their differences is `multiverse`
        table = results[name].drop(columns=cells.CELLS, errors="ignore")
        files.write_table(tables / f"{name}.csv", table if len(table.columns) else pd.DataFrame(columns=["run"]))


if __name__ == "__main__":
    start(main)
