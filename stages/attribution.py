"""Which frequencies does each network rely on?"""

import pandas as pd
import torch

from spectroscope.attribution.baselines import baseline
from spectroscope.attribution.occlusion import occluded_frequency, table
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.spectrum import shells
from spectroscope.models import inference
from spectroscope.pipeline import checkpoint, io, machine, params, processes
from spectroscope.pipeline.supervision import start
from spectroscope.validation.compared import TABLES, explain
from spectroscope.validation.settings import ValidationSettings
from stages import In, Name, Out


def main(run: Name, weights: In, images: In, out: Out) -> None:
    settings = params.load("attribution", AttributionSettings)
    checks = params.load("validation", ValidationSettings)
    name = params.load(f"runs.{run}.model", str)
    whole = io.read_images(images)
    test, few = whole.head(settings.n_images), whole.head(settings.compared.n_images)
    shape, n = test.pixels.shape[1:], len(test)
    index = shells(shape[1], shape[2], settings.shape, settings.basis)
    replaced = baseline(settings.baseline, test.pixels, index, settings.basis, machine.generator(0))
    inputs = {"weights": checkpoint.digest(weights), "images": checkpoint.digest(images)}
    options = {"basis": settings.basis, "score": settings.score, "clip": settings.clip}
    step = processes.batch_per_process(n, machine.forward_batch_size())

    tables, compared = [], []
    with checkpoint.open_store(
        "attribution",
        run=run,
        settings=settings.model_dump(mode="json"),
        checks=checks.model_dump(mode="json"),
        **inputs,
    ) as store:
        for seed, model in inference.restore_all(weights, name, shape, len(test.classes)):

            def occluded(place: int, model=model) -> dict[str, torch.Tensor]:
                rows = slice(place * step, (place + 1) * step)
                x, y = test.pixels[rows].to(machine.device()), test.labels[rows].to(machine.device())
                own = replaced[rows] if replaced is not None and replaced.ndim == 4 else replaced
                return {"of": occluded_frequency(model, x, y, index, baseline=own, chunk=step, **options)}

            pieces = [f"{seed}-images{start}-{min(start + step, n) - 1}" for start in range(0, n, step)]
            parts = store.load_or_compute(pieces, occluded, "occluded frequency, parts")
            attribution = torch.cat([part["of"] for part in parts])
            right = inference.predict(model, test.pixels) == test.labels
            tables.append(table(attribution, test.labels, right, seed))
            compared.append(explain(model, few, settings, checks, seed, store))

        if processes.rank() == 0:
            io.write_table(out / "occluded_frequency.parquet", pd.concat(tables))
            for each in TABLES:
                io.write_table(out / f"{each}.parquet", pd.concat(found[each] for found in compared))


if __name__ == "__main__":
    start(main, distributed=True)
