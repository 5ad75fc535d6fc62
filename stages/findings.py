"""Which differences between runs are larger than chance?"""

import pandas as pd

from spectroscope.attribution.settings import AttributionSettings
from spectroscope.findings import accuracy, metrics, reliance
from spectroscope.findings.settings import FindingsSettings
from spectroscope.findings.tables import contrasts
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import describe
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.training.cards import markdown
from stages import In, Out, Record


def main(  # an argument for each file or folder of the stage in dvc.yaml
    evaluation: In,
    attribution: In,
    weights: In,
    images: In,
    tables: Out,
    cards: Out,
    estimates: Out,
    headline: Out,
    machine: Record,
) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    settings = params.load("attribution", AttributionSettings)
    findings = params.load("findings", FindingsSettings)
    runs, test, predictions = list(params.read()["runs"]), io.read_images(images), io.read_table(evaluation)
    epochs = pd.concat(io.read_table(weights / run / "epochs.csv").assign(run=run) for run in runs)

    attacked, filtered = (predictions[predictions["kind"] == kind] for kind in ("attack", "band"))
    accurate = accuracy.accuracies(attacked, runs)
    at_chance = accuracy.at_chance(attacked, runs, len(test.classes), statistics)
    files = {run: attribution / run for run in runs}
    relied, reliances = reliance.of_runs(files, test, settings, at_chance, statistics)
    results = {
        "accuracy": accuracy.table(attacked, runs, "attack", statistics),
        "band_accuracy": accuracy.table(filtered, runs, "band", statistics),
        "class_accuracy": accuracy.class_accuracies(attacked, runs, list(test.classes), statistics),
        **reliances,
        "contrasts": contrasts(accurate + relied, findings.reference, statistics),
        "training": epochs,
    }
    numbers = metrics.headline(results["accuracy"], results["reliance"], findings.attack)

    cells.write(results, tables, estimates)
    io.write_json(headline, numbers)
    io.write_json(machine, describe())
    for run in runs:
        figures = pd.concat(results[name][results[name]["run"] == run] for name in ("accuracy", "reliance"))
        marked = figures["marked"].eq(True)
        figures["statistic"] = figures["statistic"].mask(marked, figures["statistic"] + " (no centre of reliance)")
        io.write_text(cards / f"{run}.md", markdown(io.read_json(weights / run / "card.json"), figures))


if __name__ == "__main__":
    start(main)
