"""What differs between the runs, beyond chance?"""

import pandas as pd

from spectroscope import claims, io, params, runtime
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.cards import markdown
from spectroscope.stats import StatisticsSettings
from stages import In, Out, start


def main(
    evaluation: In, attribution: In, weights: In, images: In, warnings: In, tables: Out, cards: Out, metrics: Out
) -> None:
    statistics = params.load("statistics", StatisticsSettings)
    settings = params.load("attribution", AttributionSettings)
    study, test = params.read(), io.read_images(images)
    runs, classes = list(study["runs"]), list(test.classes)
    predictions = io.read_table(evaluation)
    attacked, banded = (predictions[predictions["kind"] == kind] for kind in ("attack", "band"))

    right = claims.accuracies(attacked, runs, statistics)
    reliances = []
    for stream, run in enumerate(runs):
        of = io.read_table(attribution / f"{run}.parquet")
        reliances.append(claims.reliance(run, stream, of, len(classes), settings.images, statistics))
    found = [finding for each in reliances for finding in each.findings(settings.hf_from)]
    accuracy, reliance = claims.rows(right, statistics), claims.rows(found, statistics)
    transfer = claims.rows(claims.accuracies(banded, runs, statistics), statistics)

    results = {
        "accuracy": accuracy.drop(columns="n_missing").rename(columns={"measure": "attack"}),
        "transfer": transfer.drop(columns="n_missing").rename(columns={"measure": "band"}),
        "class_accuracy": claims.class_accuracies(attacked, runs, classes, statistics),
        "occluded_frequency": pd.concat(each.shell_rows(statistics) for each in reliances),
        "class_occluded_frequency": pd.concat(each.class_rows(classes, statistics) for each in reliances),
        "reliance": reliance,
        "contrasts": claims.contrasts(right + found, statistics),
        "training": pd.concat(io.read_table(weights / run / "epochs.csv").assign(run=run) for run in runs),
    }
    for name, table in results.items():
        io.write_table(tables / f"{name}.csv", table)
    about = {**io.read_facts(images), **runtime.describe(), "test_images": len(test)}
    figures = claims.metrics(pd.concat([accuracy, reliance]).drop(columns="n_missing"))
    collapsed = results["training"].groupby(["run", "seed"])["overfitted"].any().groupby("run").sum().to_dict()
    io.write_json(
        metrics, {"about": about, "runs": figures, "overfitted_seeds": collapsed, "warnings": io.read_json(warnings)}
    )
    for run in runs:
        page = markdown(io.read_json(weights / run / "card.json"), figures[run])
        io.write_text(cards / f"{run}.md", page)


if __name__ == "__main__":
    start(main)
