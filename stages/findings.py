"""Which differences between runs are larger than chance?"""

import pandas as pd

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.findings import accuracy, reliance
from spectroscope.findings import tables as findings_tables
from spectroscope.findings.settings import FindingsSettings
from spectroscope.pipeline import io, machine, params
from spectroscope.pipeline.supervision import start
from spectroscope.training.cards import markdown
from stages import In, Out


def main(
    evaluation: In, attribution: In, weights: In, images: In, warnings: In, tables: Out, cards: Out, metrics: Out
) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    settings = params.load("attribution", AttributionSettings)
    reference = params.load("findings", FindingsSettings).reference
    study, test = params.read(), io.read_images(images)
    runs, classes = list(study["runs"]), list(test.classes)
    predictions = io.read_table(evaluation)
    attacked, banded = (predictions[predictions["kind"] == kind] for kind in ("attack", "band"))

    right = accuracy.accuracies(attacked, runs, statistics)
    reliances = []
    for stream, run in enumerate(runs):
        of = io.read_table(attribution / run / "occluded_frequency.parquet")
        reliances.append(reliance.reliance(run, stream, of, len(classes), settings.images, statistics))
    found = [finding for each in reliances for finding in each.findings(settings.hf_from)]
    accuracy_rows, reliance_rows = findings_tables.rows(right, statistics), findings_tables.rows(found, statistics)
    transfer = findings_tables.rows(accuracy.accuracies(banded, runs, statistics), statistics)

    results = {
        "accuracy": accuracy_rows.drop(columns="n_missing").rename(columns={"statistic": "attack"}),
        "band_accuracy": transfer.drop(columns="n_missing").rename(columns={"statistic": "band"}),
        "class_accuracy": accuracy.class_accuracies(attacked, runs, classes, statistics),
        "occluded_frequency": pd.concat(each.shell_rows(statistics) for each in reliances),
        "class_occluded_frequency": pd.concat(each.class_rows(classes, statistics) for each in reliances),
        "reliance": reliance_rows,
        "contrasts": findings_tables.contrasts(right + found, reference, statistics),
        "training": pd.concat(io.read_table(weights / run / "epochs.csv").assign(run=run) for run in runs),
    }
    for name, table in results.items():
        io.write_table(tables / f"{name}.csv", table)
    about = {**io.read_facts(images), **machine.describe(), "test_images": len(test)}
    figures = findings_tables.metrics(pd.concat([accuracy_rows, reliance_rows]).drop(columns="n_missing"))
    collapsed = results["training"].groupby(["run", "seed"])["overfitted"].any().groupby("run").sum().to_dict()
    io.write_json(
        metrics, {"about": about, "runs": figures, "overfitted_seeds": collapsed, "warnings": io.read_json(warnings)}
    )
    for run in runs:
        page = markdown(io.read_json(weights / run / "card.json"), figures[run])
        io.write_text(cards / f"{run}.md", page)


if __name__ == "__main__":
    start(main)
