"""Occluded Frequency by shell for each test image of one network: the table that reliance is computed from."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attribution.baselines import baseline, baseline_rows
from spectroscope.attribution.occlusion import occluded_frequency
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.spectrum import shells
from spectroscope.models import inference
from spectroscope.pipeline import machine, processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images


def occluded_by_shell(
    model: nn.Module, test: Images, settings: AttributionSettings, seed: int, store: Store
) -> pd.DataFrame:
    """One row for each image: seed, image, label, right (whether the prediction is the label), shell_0, shell_1, ...

    Batches of images are kept in `store`: a killed process goes on with the next, and several processes share them out.
    """
    height, width = test.pixels.shape[2:]
    index = shells(height, width, settings.shape, settings.basis)
    random = machine.generator(settings.seed)
    replacement = baseline(settings.baseline, test.pixels, index, settings.basis, random)
    step = processes.batch_per_process(len(test), machine.forward_batch_size())
    batches = [slice(start, min(start + step, len(test))) for start in range(0, len(test), step)]

    def compute(place: int) -> dict[str, Tensor]:
        rows, own = batches[place], baseline_rows(replacement, batches[place])
        x, y = test.pixels[rows].to(machine.device()), test.labels[rows].to(machine.device())
        drops = occluded_frequency(
            model, x, y, index, basis=settings.basis, baseline=own, score=settings.score, clip=settings.clip, chunk=step
        )
        return {"of": drops}

    names = [f"{seed}-images{rows.start}-{rows.stop - 1}" for rows in batches]
    saved = store.load_or_compute(names, compute, "batches of occluded frequency")
    right = inference.predict(model, test.pixels) == test.labels
    return table(torch.cat([tensors["of"] for tensors in saved]), test.labels, right, seed)


def table(attribution: Tensor, labels: Tensor, right: Tensor, seed: int) -> pd.DataFrame:
    """Attribution (N, shells) as rows seed, image, label, right, shell_0, shell_1, ..."""
    columns = pd.DataFrame(attribution.cpu().numpy(), columns=[f"shell_{k}" for k in range(attribution.shape[1])])
    front = {"seed": seed, "image": np.arange(len(labels)), "label": labels.cpu().numpy(), "right": right.cpu().numpy()}
    return pd.concat([pd.DataFrame(front), columns], axis=1)
