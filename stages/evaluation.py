"""How accurate is each network on every band and under every attack?"""

import pandas as pd

from spectroscope.attacks.registry import AttackSettings, bounded
from spectroscope.evaluation import EvaluationSettings, attacked_predictions, predictions
from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import describe
from spectroscope.pipeline.progress import track
from spectroscope.pipeline.supervision import start
from stages import In, Out, Record

COLUMNS = ["image", "label", "cluster", "right", "run", "seed", "kind", "name"]


def main(weights: In, images: In, bands: In, attacks: In, out: Out, machine: Record) -> None:
    n_images = params.load("evaluation", EvaluationSettings).n_images
    attacked = bounded(params.load("attacks", dict[str, AttackSettings]))
    study, test = params.read(), io.read_images(images)
    clean = test.head(n_images)
    splits = {("attack", "clean"): clean}
    splits |= {("band", band): io.read_images(bands / band / "test.parquet").head(n_images) for band in study["bands"]}
    shape, n_classes = clean.pixels.shape[1:], len(clean.classes)

    tables = []
    for run in track(study["runs"], "evaluation, runs"):
        for seed, model in inference.restore_all(weights / run, study["runs"][run]["model"], shape, n_classes):
            for (kind, name), split in splits.items():
                tables.append(predictions(model, split).assign(run=run, seed=seed, kind=kind, name=name))
        for attack in attacked:
            for name, (_, rows) in io.read_attack(attacks / run / f"{attack}.parquet").items():
                tables.append(attacked_predictions(rows).assign(run=run, kind="attack", name=name))

    rows = pd.concat(tables)
    io.write_table(out, rows.assign(cluster=test.clusters.numpy()[rows["image"]])[COLUMNS])
    io.write_json(machine, describe())


if __name__ == "__main__":
    start(main)
