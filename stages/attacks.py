"""How do attacks fool each network?"""

from collections import deque
from collections.abc import Iterable, Iterator

import pandas as pd
from torch import Tensor, nn

from spectroscope.attacks import runner
from spectroscope.attacks.registry import AttackSettings
from spectroscope.models import own_networks
from spectroscope.models.inference import restore_all
from spectroscope.pipeline import checkpoint, io, params, passes, processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.supervision import start
from stages import In, Name, Out


def main(run: Name, attack: Name, models: In, images: In, out: Out) -> None:
    settings = params.load(f"attacks.{attack}", AttackSettings)
    architecture = params.load(f"runs.{run}.model", str)
    test = io.read_images(images).head(settings.n_images)
    shape, n_classes = tuple(test.pixels.shape[1:]), len(test.classes)
    inputs = {"models": checkpoint.digest(models), "images": checkpoint.digest(images)}
    code = own_networks.digests(architecture)

    with checkpoint.open_store("attacks", settings=settings.model_dump(), run=run, own_network=code, **inputs) as store:
        networks = restore_all(models, architecture, shape, n_classes)
        chunks = attack_all(settings, networks, test, store)
        if processes.rank() == 0:
            io.write_chunks(out, chunks)
        else:
            deque(chunks, maxlen=0)  # computes and saves this process's share; the first process writes the file


def attack_all(
    settings: AttackSettings, networks: Iterable[tuple[int, nn.Module]], test: Images, store: Store
) -> Iterator[tuple[Tensor, pd.DataFrame]]:
    """Perturbations of every network and their rows, batch by batch."""
    for seed, model in networks:
        size = processes.batch_per_process(len(test), passes.kept_batch_size(model, test.pixels))
        at_once = passes.forward_batch_size(model, test.pixels)
        for change, table in runner.run_entry(settings, model, test.pixels, test.labels, seed, size, store, at_once):
            yield change, pd.concat([pd.DataFrame({"seed": seed}, table.index), table], axis=1)


if __name__ == "__main__":
    start(main, distributed=True)
