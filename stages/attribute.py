"""Which frequencies does a trained network rely on?"""

import pandas as pd

from spectroscope import checkpoint, io, models, params, runtime
from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.compared import TABLES, explain
from spectroscope.attribution.occlusion import occluded_frequency, table
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.spectrum import shells
from stages import In, Name, Out, start


def main(run: Name, weights: In, images: In, out: Out, measures: Out) -> None:
    settings = params.load("attribution", AttributionSettings)
    name = params.load(f"runs.{run}.model", str)
    whole = io.read_images(images)
    test, few = whole.head(settings.n_images), whole.head(settings.compared.n_images)
    shape, device = test.pixels.shape[1:], runtime.device()
    index = shells(*shape[1:], settings.shape, settings.basis)
    replaced = baseline(settings.baseline, test.pixels, index, settings.basis, runtime.generator(0))
    inputs = {"weights": checkpoint.digest(weights), "images": checkpoint.digest(images)}

    tables, compared = [], []
    with checkpoint.opened("attribute", run=run, settings=settings.model_dump(mode="json"), **inputs) as store:
        for seed, model in models.restore_all(weights, name, shape, len(test.classes)):
            x, y = test.pixels.to(device), test.labels.to(device)
            options = {"basis": settings.basis, "baseline": replaced, "score": settings.score, "clip": settings.clip}
            attribution = occluded_frequency(model, x, y, index, **options, chunk=runtime.images_at_once())
            right = models.predict(model, test.pixels) == test.labels
            tables.append(table(attribution, test.labels, right, seed))
            compared.append(explain(model, few, settings, seed, store))

        io.write_table(out, pd.concat(tables))
        for each in TABLES:
            io.write_table(measures / f"{each}.parquet", pd.concat(found[each] for found in compared))


if __name__ == "__main__":
    start(main)
