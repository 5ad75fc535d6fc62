"""All checks of the attributions of one network, as tables."""

from dataclasses import replace

import pandas as pd

from spectroscope.attribution.compare import WAVES
from spectroscope.attribution.settings import AttributionSettings
from spectroscope.attribution.task import Attribution, Task
from spectroscope.pipeline import memory
from spectroscope.pipeline.params import Settings
from spectroscope.validation import faithfulness
from spectroscope.validation.faithfulness import FaithfulnessSettings
from spectroscope.validation.multiverse import MultiverseSettings, multiverse, multiverse_bands
from spectroscope.validation.sanity import SanitySettings, repeated_attributions


class ValidationSettings(Settings):
    """Checks of the attribution methods; null leaves one out."""

    faithfulness: FaithfulnessSettings | None
    sanity: SanitySettings | None
    multiverse: MultiverseSettings | None


def tables(
    task: Task, attributions: dict[str, Attribution], settings: AttributionSettings, checks: ValidationSettings
) -> dict[str, pd.DataFrame]:
    """curves, interventions, sanity, multiverse and multiverse_bands, each with a column seed.

    Rows as in the functions that make them. A check that is null in the settings leaves its table empty.
    """
    return memory.halving(lambda size: _tables(task.in_chunks(size), attributions, settings, checks), task.chunk)


def _tables(
    task: Task, attributions: dict[str, Attribution], settings: AttributionSettings, checks: ValidationSettings
) -> dict[str, pd.DataFrame]:
    compared, labels = settings.compared, task.labels.cpu().numpy()
    found = {name: pd.DataFrame() for name in ("curves", "interventions", "sanity", "multiverse", "multiverse_bands")}
    found["interventions"] = faithfulness.interventions(task, settings.seed)
    if checks.faithfulness:
        # Heat maps live in the DFT and rank no coefficients of the task's basis: they have curves by band alone.
        orders = {
            name: replace(attribution, coefficients=None) if settings.methods[name].method in WAVES else attribution
            for name, attribution in attributions.items()
        }
        found["curves"] = faithfulness.curves(task, orders, checks.faithfulness.fractions)
    if checks.sanity:
        found["sanity"] = repeated_attributions(task, settings.methods, checks.sanity)
    if checks.multiverse:
        found["multiverse"] = multiverse(task, checks.multiverse, compared.bands)
        found["multiverse_bands"] = multiverse_bands(task, checks.multiverse, compared.bands)
    for name in ("curves", "interventions"):
        if len(found[name]):
            found[name] = found[name].assign(label=labels[found[name]["image"]])
    return {name: table.assign(seed=task.seed) if len(table) else table for name, table in found.items()}
