"""Which frequencies does a trained network rely on?"""

import pandas as pd

from spectroscope import io, models, params, runtime
from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.occlusion import occluded_frequency, table
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.spectrum import shells
from stages import In, Name, Out, start


def main(run: Name, weights: In, images: In, out: Out) -> None:
    settings = params.load("attribution", AttributionSettings)
    name = params.load(f"runs.{run}.model", str)
    test = io.read_images(images).head(settings.n_images)
    shape, device = test.pixels.shape[1:], runtime.device()
    index = shells(*shape[1:], settings.shape, settings.basis)
    replaced = baseline(settings.baseline, test.pixels, index, settings.basis, runtime.generator(0))

    tables = []
    for seed, model in models.restore_all(weights, name, shape, len(test.classes)):
        x, y = test.pixels.to(device), test.labels.to(device)
        options = {"basis": settings.basis, "baseline": replaced, "score": settings.score, "clip": settings.clip}
        attribution = occluded_frequency(model, x, y, index, **options, chunk=runtime.images_at_once())
        right = models.predict(model, test.pixels) == test.labels
        tables.append(table(attribution, test.labels, right, seed))

    io.write_table(out, pd.concat(tables))


if __name__ == "__main__":
    start(main)
