"""Do the attribution methods agree, and how faithful is each of them?"""

import pandas as pd

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.dataset.sources import DatasetSettings
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import io, params
from spectroscope.pipeline.supervision import start
from spectroscope.validation import agreement as concordance
from spectroscope.validation import tables as explanations
from spectroscope.validation.settings import ValidationSettings
from stages import In, Out

READ = ("values", "bands", "curves", "interventions", "sanity", "multiverse")


def main(attribution: In, tables: Out) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    settings = params.load("attribution", AttributionSettings)
    dataset, study = params.load("dataset", DatasetSettings), params.read()
    runs = list(study["runs"])
    blind = [run for run, of_run in study["runs"].items() if study["bands"][of_run["band"]]["keep"] == "permuted"]
    read = {run: {name: io.read_table(attribution / run / f"{name}.parquet") for name in READ} for run in runs}

    found: dict[str, list[pd.DataFrame]] = {}
    for stream, (run, table) in enumerate(read.items()):
        values, about = table["values"], table["bands"]
        cell = (run, stream, values)
        results = {
            "methods": explanations.curves(*cell, about, statistics),
            "method_summaries": explanations.reliance(*cell, about, settings.hf_from, statistics),
            "agreement": concordance.agreement(*cell, statistics),
            "faithfulness": explanations.faithfulness(run, stream, table["curves"], statistics),
            "sanity": explanations.sanity(*cell, table["sanity"], statistics),
            "recovery": pd.DataFrame(),
        }
        if dataset.name == "planted":
            truth = [(cue.low / (dataset.size - 1), (cue.high - 1) / (dataset.size - 1)) for cue in dataset.cues]
            results["recovery"] = explanations.recovery(run, values, about, table["interventions"], truth, statistics)
        for name, rows in results.items():
            found.setdefault(name, []).append(rows)
    reference = params.load("findings", FindingsSettings).reference
    for run in blind:
        other = read[run]["values"].assign(shuffled="labels", share=1.0)
        at = runs.index(reference)
        found["sanity"].append(explanations.sanity(reference, at, read[reference]["values"], other, statistics))
    written = {name: pd.concat(parts) for name, parts in found.items()}
    written["concordance"] = concordance.concordance({run: table["values"] for run, table in read.items()}, statistics)
    written["multiverse"] = written["signs"] = pd.DataFrame()
    if params.load("validation", ValidationSettings).multiverse:
        choices = {run: table["multiverse"] for run, table in read.items()}
        bands = read[runs[0]]["bands"]
        written["multiverse"] = explanations.multiverse(choices, bands, settings.hf_from, reference, statistics)
        written["signs"] = explanations.signs(written["multiverse"])

    for name, rows in written.items():
        io.write_table(tables / f"{name}.csv", rows if len(rows.columns) else pd.DataFrame(columns=["run"]))


if __name__ == "__main__":
    start(main)
