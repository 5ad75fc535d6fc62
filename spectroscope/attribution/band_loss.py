"""What each test image of one network loses without the low, the middle or the high shells as a whole.

Single shells can stand in for one another: the drops of Occluded Frequency by shell do not add up to that of a band.
"""

from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from spectroscope.attribution.inputs import checked_logits
from spectroscope.attribution.scores import class_score
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.frequency.equal_energy import equal_energy, random_orders
from spectroscope.frequency.shell_ranges import low_middle_high
from spectroscope.frequency.spectrum import analyse, shells, synthesise
from spectroscope.pipeline import machine, memory, passes, processes
from spectroscope.pipeline.checkpoint import Store
from spectroscope.pipeline.io import Images

# The band set to zero, in every channel; everything but the band and DC; other coefficients that hold as much energy.
CHANGES = ("without", "only", "equal_energy")


def band_losses(model: nn.Module, test: Images, settings: AttributionSettings, seed: int, store: Store) -> pd.DataFrame:
    """One row for each band (`shell_ranges.low_middle_high`), change of CHANGES and image.

    seed, image, label, band, change, right, right_after, lost (probability of the label, before - after), energy
    (share of the image's energy above DC that was removed). Removed coefficients are zero, whatever the baseline.
    Batches are kept in `store`, as by `by_shell.occluded_by_shell`.
    """
    height, width = test.pixels.shape[2:]
    index = shells(height, width, settings.shape, settings.basis)
    edges = low_middle_high(int(index.max()) + 1, settings.hf_from)
    bands = [(index >= first) & (index < last) for first, last in edges.values()]
    step = processes.batch_per_process(len(test), passes.kept_batch_size(model, test.pixels))
    at_once = min(step, passes.forward_batch_size(model, test.pixels))
    batches = [range(start, min(start + step, len(test))) for start in range(0, len(test), step)]

    @torch.no_grad()
    def of_rows(rows: range) -> dict[str, Tensor]:
        x, y = (part[rows.start : rows.stop].to(machine.device()) for part in (test.pixels, test.labels))
        spectrum, orders = analyse(x, settings.basis), random_orders(rows, index.numel(), settings.seed)
        energy = spectrum.abs().square().sum(1).double().masked_fill(index.to(x.device) == 0, 0.0)
        clean = checked_logits(model, x)
        after, removed_energy = [], []
        for band in bands:
            others = equal_energy(spectrum, band, orders, settings.basis)
            for gone in (band.to(x.device), (~band & (index > 0)).to(x.device), others):
                gone = gone.expand_as(others)
                changed = x - synthesise(spectrum * gone[:, None], settings.basis)
                after.append(checked_logits(model, changed.clamp(0, 1) if settings.clip else changed))
                removed_energy.append((energy * gone).sum((1, 2)) / energy.sum((1, 2)).clamp_min(1e-12))
        logits = torch.stack([clean, *after], 1)  # (n, 1 + bands * changes, K)
        probability = class_score(logits, y[:, None].expand(logits.shape[:2]), "probability")
        right = logits.argmax(2) == y[:, None]
        return {"right": right, "probability": probability, "energy": torch.stack(removed_energy, 1)}

    def in_parts(rows: range, size: int) -> dict[str, Tensor]:
        parts = [of_rows(rows[start : start + size]) for start in range(0, len(rows), size)]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def compute(place: int) -> dict[str, Tensor]:
        return memory.halving(partial(in_parts, batches[place]), at_once)

    names = [f"{seed}-bands{rows.start}-{rows.stop - 1}" for rows in batches]
    saved = store.load_or_compute(names, compute, "batches of images without bands")
    found = {key: torch.cat([tensors[key] for tensors in saved]).cpu().numpy() for key in saved[0]}
    front = {"seed": seed, "image": np.arange(len(test)), "label": test.labels.cpu().numpy()}
    cells = [(band, change) for band in edges for change in CHANGES]
    tables = []
    for place, (band, change) in enumerate(cells):
        right, probability = found["right"], found["probability"]
        columns = {"right": right[:, 0], "right_after": right[:, 1 + place]}
        columns |= {"lost": probability[:, 0] - probability[:, 1 + place], "energy": found["energy"][:, place]}
        tables.append(pd.DataFrame({**front, "band": band, "change": change, **columns}))
    return pd.concat(tables, ignore_index=True)
