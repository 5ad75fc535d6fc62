"""Which differences between runs are larger than chance?"""

import pandas as pd

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.bootstrap import StatisticsSettings
from spectroscope.findings import accuracy, reliance
from spectroscope.findings.settings import FindingsSettings
from spectroscope.findings.tables import by_run, contrasts, summaries
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import describe
from spectroscope.pipeline.supervision import start
from spectroscope.training.cards import markdown
from stages import In, Out, Record


def main(  # an argument for each file or folder of the stage in dvc.yaml
    evaluation: In,
    attribution: In,
    weights: In,
    images: In,
    warnings: In,
    tables: Out,
    cards: Out,
    metrics: Out,
    machine: Record,
) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    settings = params.load("attribution", AttributionSettings)
    reference = params.load("findings", FindingsSettings).reference
    runs, test, predictions = list(params.read()["runs"]), io.read_images(images), io.read_table(evaluation)
    epochs = pd.concat(io.read_table(weights / run / "epochs.csv").assign(run=run) for run in runs)

    classes = list(test.classes)
    attacked, filtered = (predictions[predictions["kind"] == kind] for kind in ("attack", "band"))
    robust = accuracy.accuracies(attacked, runs, statistics)
    transferred = accuracy.accuracies(filtered, runs, statistics)
    reliances = []
    for stream, run in enumerate(runs):  # one table at a time: together they may not fit in memory
        table = io.read_table(attribution / run / "occluded_frequency.parquet")
        reliances.append(reliance.reliance(run, stream, table, len(classes), settings.images, statistics))
    relied = [finding for each in reliances for finding in reliance.reliance_findings(each, settings.hf_from)]
    results = {
        "accuracy": accuracy.table(robust, "attack", statistics),
        "band_accuracy": accuracy.table(transferred, "band", statistics),
        "class_accuracy": accuracy.class_accuracies(attacked, runs, classes, statistics),
        "occluded_frequency": pd.concat(reliance.shell_curve(each, statistics) for each in reliances),
        "class_occluded_frequency": pd.concat(reliance.class_curves(each, classes, statistics) for each in reliances),
        "reliance": summaries(relied, statistics),
        "contrasts": contrasts(robust + relied, reference, statistics),
        "training": epochs,
    }
    figures = by_run(summaries(robust + relied, statistics).drop(columns="n_missing"))
    overfitted = epochs.groupby(["run", "seed"])["overfitted"].any().groupby("run").sum().to_dict()

    for name, table in results.items():
        io.write_table(tables / f"{name}.csv", table)
    about = {**io.read_facts(images), "test_images": len(test)}
    whole = {"about": about, "runs": figures, "overfitted_seeds": overfitted, "warnings": io.read_json(warnings)}
    io.write_json(metrics, whole)
    io.write_json(machine, describe())
    for run in runs:
        io.write_text(cards / f"{run}.md", markdown(io.read_json(weights / run / "card.json"), figures[run]))


if __name__ == "__main__":
    start(main)
