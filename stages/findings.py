"""Which differences between runs are larger than chance?"""

import pandas as pd

from spectroscope.findings import accuracy, metrics, reliance
from spectroscope.findings.settings import FindingsSettings
from spectroscope.findings.tables import contrasts
from spectroscope.pipeline import arrays, files, params  # not io, whose images and weights import torch
from spectroscope.pipeline.supervision import start
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.training.cards import markdown
from stages import In, Out


def main(  # an argument for each file or folder of the stage in dvc.yaml
    evaluation: In,
    attribution: In,
    weights: In,
    images: In,
    tables: Out,
    cards: Out,
    estimates: Out,
    headline: Out,
) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    findings = params.load("findings", FindingsSettings)
    study, test, predictions = params.read(), arrays.read_labels(images), files.read_table(evaluation)
    runs, settings = list(study["runs"]), study["attribution"]  # checked by `attribution`; its class imports torch
    epochs = pd.concat(files.read_table(weights / run / "epochs.csv").assign(run=run) for run in runs)

    attacked, filtered = (predictions[predictions["kind"] == kind] for kind in ("attack", "band"))
    accurate = accuracy.accuracies(attacked, runs)
    at_chance = accuracy.at_chance(attacked, runs, len(test.classes), statistics)
    folders = {run: attribution / run for run in runs}
    relied, reliances = reliance.of_runs(folders, test, settings["images"], settings["hf_from"], at_chance, statistics)
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
    files.write_json(headline, numbers)
    for run in runs:
        figures = pd.concat(results[name][results[name]["run"] == run] for name in ("accuracy", "reliance"))
        marked = figures["marked"].eq(True)
        figures["statistic"] = figures["statistic"].mask(marked, figures["statistic"] + " (no centre of reliance)")
        files.write_text(cards / f"{run}.md", markdown(files.read_json(weights / run / "card.json"), figures))


if __name__ == "__main__":
    start(main)
