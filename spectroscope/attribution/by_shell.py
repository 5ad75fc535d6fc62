"""Occluded Frequency by band of shells and score for each test image of one network: reliance is computed from it.

A logit has no common unit: removing a shell moves all logits of an image together. The margin keeps what separates the
label from the other classes, the probability is in the same unit for every network.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attribution.baselines import baseline, baseline_rows
from spectroscope.attribution.occlusion import drops_by_score
from spectroscope.attribution.scores import Score
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.shell_bands import column_names
from spectroscope.frequency.partitions import partition
from spectroscope.frequency.spectrum import shells
from spectroscope.models import inference
from spectroscope.pipeline import machine, memory, passes, processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images

SCORES: tuple[Score, ...] = ("margin", "probability", "logit")  # the logit is that of Wang et al. 2020, Def. 1


def occluded_by_shell(
    model: nn.Module, test: Images, settings: AttributionSettings, seed: int, store: Store
) -> pd.DataFrame:
    """Rows of `table`: the drop of every score of SCORES, from the same forward passes.

    Batches of images are kept in `store`: a killed process goes on with the next, and several processes share them out.
    """
    height, width = test.pixels.shape[2:]
    index = partition(height, width, settings.shape, settings.bands, settings.basis)
    random = machine.generator(settings.seed)
    replacement = baseline(settings.baseline, test.pixels, index, settings.basis, random)
    step = processes.batch_per_process(len(test), passes.kept_batch_size(model, test.pixels))
    at_once = min(step, passes.forward_batch_size(model, test.pixels))
    batches = [slice(start, min(start + step, len(test))) for start in range(0, len(test), step)]

    def compute(place: int) -> dict[str, Tensor]:
        rows, own = batches[place], baseline_rows(replacement, batches[place])
        x, y = test.pixels[rows].to(machine.device()), test.labels[rows].to(machine.device())
        options = (index, SCORES, settings.basis, own, settings.clip)
        return {"of": memory.halving(lambda size: drops_by_score(model, x, y, *options, size), at_once)}

    names = [f"{seed}-images{rows.start}-{rows.stop - 1}" for rows in batches]
    saved = store.load_or_compute(names, compute, "batches of occluded frequency")
    right = inference.predict(model, test.pixels) == test.labels
    bands = column_names(index, shells(height, width, settings.shape, settings.basis))
    return table(torch.cat([tensors["of"] for tensors in saved]), bands, test.labels, right, seed)


def table(attribution: Tensor, bands: list[str], labels: Tensor, right: Tensor, seed: int) -> pd.DataFrame:
    """Attribution (N, scores, bands), one row for each score of each image.

    seed, image, label, right (whether the prediction is the label), score, then a column for each of the bands.
    """
    front = {"seed": seed, "image": np.arange(len(labels)), "label": labels.cpu().numpy(), "right": right.cpu().numpy()}
    tables = []
    for place, score in enumerate(SCORES):
        columns = pd.DataFrame(attribution[:, place].cpu().numpy(), columns=bands)
        tables.append(pd.concat([pd.DataFrame(front).assign(score=score), columns], axis=1))
    return pd.concat(tables, ignore_index=True)
