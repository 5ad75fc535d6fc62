"""Every table of the validation: of one run, and across runs."""

import numpy as np
import pandas as pd

from spectroscope.statistics.estimates import StatisticsSettings
from spectroscope.validation import agreement, choices, tables
from spectroscope.validation.recovery import Positions, recovery

# Tables of the stage `attribution` that are read for each run.
READ = ("values", "bands", "curves", "interventions", "sanity", "multiverse", "multiverse_bands")
Tables = dict[str, pd.DataFrame]


def of_run(run: str, read: Tables, hf_from: float, clusters: np.ndarray, settings: StatisticsSettings) -> Tables:
    """The tables of one run, by name; read: those of READ. clusters (N,): of the test images."""
    values, bands, repeated = read["values"], read["bands"], read["sanity"]
    shuffled = repeated[repeated["shuffled"] != "before"] if len(repeated) else repeated
    return {
        "methods": tables.methods(run, values, bands, clusters, settings),
        "method_summaries": tables.method_summaries(run, values, bands, hf_from, clusters, settings),
        "agreement": agreement.pairwise(run, values, clusters, settings),
        "faithfulness": tables.faithfulness(run, read["curves"], clusters, settings),
        "sanity": tables.sanity(run, _before(read), shuffled, clusters, settings),
    }


def across_runs(
    runs: dict[str, Tables],
    permuted: list[str],
    reference: str,
    planted: Positions,
    hf_from: float,
    clusters: np.ndarray,
    settings: StatisticsSettings,
) -> Tables:
    """The tables that need several runs; runs: the tables of READ of each. permuted: runs trained on permuted labels.

    choices: of `choices.by_choice`, only with a multiverse. sanity: the reference
    against its counterparts of the same seed that learned permuted labels, on the images of the check `sanity` where it
    was made. planted: see `recovery.planted_positions`. The tables of a check that was not made are empty.
    """
    relabelled = [_before(runs[run]).assign(shuffled="labels", share=1.0) for run in permuted]
    before = _before(runs[reference])
    sanity = [tables.sanity(reference, before, table, clusters, settings) for table in relabelled]
    found = {
        "sanity": pd.concat(sanity or [pd.DataFrame()]),
        "concordance": agreement.concordance({run: read["values"] for run, read in runs.items()}, clusters, settings),
        "recovery": recovery(runs, permuted, planted, settings),
        "multiverse": pd.DataFrame(),
        "signs": pd.DataFrame(),
    }
    if len(runs[reference]["multiverse"]):
        multiverse, bands = {run: read["multiverse"] for run, read in runs.items()}, runs[reference]["multiverse_bands"]
        found["choices"] = choices.by_choice(multiverse, bands, hf_from, clusters, settings)
        found["multiverse"] = choices.contrasts(found["choices"], reference, settings)
        found["signs"] = choices.signs(found["multiverse"])
    return found


def _before(read: Tables) -> pd.DataFrame:
    """Values of the networks as they are, on the images and draws of the check `sanity` where it was made."""
    repeated = read["sanity"]
    return repeated[repeated["shuffled"] == "before"] if len(repeated) else read["values"]
