"""Every table of the validation: of one run, and across runs."""

import pandas as pd

from spectroscope.statistics.bootstrap import StatisticsSettings
from spectroscope.validation import agreement, choices, tables
from spectroscope.validation.recovery import Positions, recovery
from spectroscope.validation.settings import ValidationSettings

# Tables of the stage `attribution` that are read for each run.
READ = ("values", "bands", "curves", "interventions", "sanity", "multiverse")
Tables = dict[str, pd.DataFrame]


def of_run(
    run: str, stream: int, read: Tables, planted: Positions, hf_from: float, settings: StatisticsSettings
) -> Tables:
    """The tables of one run, by name; read: those of READ. planted: see `recovery.planted_positions`."""
    values, bands = read["values"], read["bands"]
    return {
        "methods": tables.methods(run, stream, values, bands, settings),
        "method_summaries": tables.method_summaries(run, stream, values, bands, hf_from, settings),
        "agreement": agreement.pairwise(run, stream, values, settings),
        "faithfulness": tables.faithfulness(run, stream, read["curves"], settings),
        "sanity": tables.sanity(run, stream, values, read["sanity"], settings),
        "recovery": recovery(run, values, bands, read["interventions"], planted, settings),
    }


def across_runs(
    runs: dict[str, Tables],
    permuted: list[str],
    reference: str,
    hf_from: float,
    checks: ValidationSettings,
    settings: StatisticsSettings,
) -> Tables:
    """The tables that need several runs; runs: the tables of READ of each. permuted: runs trained on permuted labels.

    sanity: the reference against its counterparts of the same seed that learned permuted labels.
    """
    stream, values = list(runs).index(reference), {run: read["values"] for run, read in runs.items()}
    relabelled = [values[run].assign(shuffled="labels", share=1.0) for run in permuted]
    sanity = [tables.sanity(reference, stream, values[reference], table, settings) for table in relabelled]
    found = {
        "sanity": pd.concat(sanity or [pd.DataFrame()]),
        "concordance": agreement.concordance(values, settings),
        "multiverse": pd.DataFrame(),
        "signs": pd.DataFrame(),
    }
    if checks.multiverse:
        multiverse, bands = {run: read["multiverse"] for run, read in runs.items()}, runs[reference]["bands"]
        found["multiverse"] = choices.contrasts(multiverse, bands, hf_from, reference, settings)
        found["signs"] = choices.signs(found["multiverse"])
    return found
