"""How often is each network right, on every band and under every attack?"""

import pandas as pd
from torch import nn

from spectroscope.models import inference
from spectroscope.pipeline import io, params
from spectroscope.pipeline.progress import track
from stages import In, Out, start


def main(weights: In, images: In, bands: In, attacks: In, out: Out) -> None:
    study = params.read()
    n_images = params.load("evaluation.n_images", int)
    clean = io.read_images(images).head(n_images)
    sets = {("attack", "clean"): clean}
    sets |= {("band", band): io.read_images(bands / band / "test.parquet").head(n_images) for band in study["bands"]}
    shape, n_classes = clean.pixels.shape[1:], len(clean.classes)

    tables = []
    for run in track(study["runs"], "evaluate runs"):
        for seed, model in inference.restore_all(weights / run, study["runs"][run]["model"], shape, n_classes):
            for (kind, name), test in sets.items():
                tables.append(predictions(model, test).assign(run=run, seed=seed, kind=kind, name=name))
        for attack in study["attacks"]:
            for name, (_, table) in io.read_attack(attacks / run / f"{attack}.parquet").items():
                table = table.assign(run=run, kind="attack", name=name, right=table["after"] == table["label"])
                tables.append(table[["image", "label", "right", "run", "seed", "kind", "name"]])

    io.write_table(out, pd.concat(tables))


def predictions(model: nn.Module, test: io.Images) -> pd.DataFrame:
    right = (inference.predict(model, test.pixels) == test.labels).numpy()
    return pd.DataFrame({"image": range(len(test)), "label": test.labels.numpy(), "right": right})


if __name__ == "__main__":
    start(main)
