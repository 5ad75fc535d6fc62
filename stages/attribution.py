"""Which frequencies does each network rely on?"""

from spectroscope.attribution import compare, tables
from spectroscope.attribution.band_loss import band_losses
from spectroscope.attribution.by_shell import occluded_by_shell
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.models import inference, own_networks
from spectroscope.pipeline import checkpoint, io, params, processes
from spectroscope.pipeline.supervision import start
from spectroscope.validation import checks
from spectroscope.validation.checks import ValidationSettings
from stages import In, Name, Out


def main(run: Name, weights: In, images: In, out: Out) -> None:
    settings = params.load("attribution", AttributionSettings)
    validation = params.load("validation", ValidationSettings)
    architecture = params.load(f"runs.{run}.model", str)
    whole = io.read_images(images)
    test, few = whole.head(settings.n_images), whole.head(settings.compared.n_images)
    facts = {"run": run, "settings": settings.model_dump(mode="json"), "checks": validation.model_dump(mode="json")}
    facts |= {"own_network": own_networks.digests(architecture)}
    facts |= {"weights": checkpoint.digest(weights), "images": checkpoint.digest(images)}

    found = []
    with checkpoint.open_store("attribution", **facts) as store:
        for seed, model in inference.restore_all(weights, architecture, test.pixels.shape[1:], len(test.classes)):
            reliance = {
                "occluded_frequency": occluded_by_shell(model, test, settings, seed, store),
                "band_loss": band_losses(model, test, settings, seed, store),
            }
            task = compare.task_of(model, few, settings, seed)
            attributions = compare.attribute_all(task, settings.methods, store)
            compared = compare.tables(task, attributions, settings)
            checked = checks.tables(task, attributions, settings, validation)
            found += [reliance, compared, checked]

        if processes.rank() == 0:
            for name, table in tables.stacked(found).items():
                io.write_table(out / f"{name}.parquet", table)


if __name__ == "__main__":
    start(main, distributed=True)
