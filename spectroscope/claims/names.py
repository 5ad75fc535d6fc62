"""Which rows the tables of a study have, known from its settings before any work."""

from collections.abc import Iterator, Mapping
from typing import Any

from spectroscope.attack_checks.describe import describe, subspaces
from spectroscope.attacks.registry import AttackSettings, bounded
from spectroscope.attribution.band_loss import CHANGES
from spectroscope.claims.settings import Claims, Correlation, Difference, Effect, Value
from spectroscope.findings.reliance import STATISTICS
from spectroscope.probing import layer_tables
from spectroscope.probing.layers import NETWORKS
from spectroscope.statistics.cells import KEYS

Rows = list[dict[str, list[str]]]  # every combination of the values of each mapping is a row; numbers are not listed


def rows_of_study(
    runs: list[str],
    bands: list[str],
    attacks: dict[str, AttackSettings],
    transferred: list[str],
    shapes: list[str],
    layers: bool,
    choices: bool,
) -> dict[str, Rows]:
    """The rows of every table in `cells.KEYS`, from keys of params.yaml; transferred: `attack_checks.transfer`.

    layers: whether the study probes them. Their names are not listed: they are known when a network is there. choices:
    whether the study has a multiverse.
    """
    described = describe(attacks)
    every = described["attack"].tolist()
    in_a_ball = described.loc[described["entry"].isin(bounded(attacks)), "attack"].tolist()
    moved = described.loc[described["entry"].isin(transferred), "attack"].tolist()
    source = ["attack", "control"]
    entries: dict[str, list[str]] = {}
    for entry, band in subspaces(attacks):
        entries.setdefault(entry, []).append(band)
    return {
        "accuracy": [{"run": runs, "attack": ["clean", *in_a_ball]}],
        "band_accuracy": [{"run": runs, "band": bands}],
        "reliance": [{"run": runs, "score": [s], "statistic": list(names)} for s, names in STATISTICS.items()],
        "band_loss": [
            {
                "run": runs,
                "band": ["low", "middle", "high"],
                "change": list(CHANGES),
                "measure": ["accuracy", "probability"],
            }
        ],
        "attacks": [{"run": runs, "attack": every}],
        "confined": [{"run": runs, "entry": [entry], "band": names} for entry, names in entries.items()],
        "attack_transfer": [{"run": [r], "source": [s for s in runs if s != r], "attack": moved} for r in runs],
        "calibrated": [{"run": runs, "attack": every, "source": source, "shape": shapes}],
        "margins": [{"run": runs}],
        "counterparts": [{"run": runs, "statistic": ["change", "control", "remaining", "left"]}],
        "layers": [{"run": runs, "network": list(NETWORKS), "statistic": list(layer_tables.STATISTICS)}] * layers,
        "concordance": [{"run": runs, "method": ["all"], "across": ["methods"]}],
        "choices": [{"run": runs}] * choices,
    }


def check_names(claims: Claims, rows: dict[str, Rows]) -> None:
    """ValueError naming the key of the first value that no row of its table has."""
    for name, claim in claims.items():
        effects = [("effect", claim.effect), ("control", claim.control)]
        effects += [(f"manipulation.{k}.effect", each.effect) for k, each in enumerate(claim.manipulation)]
        for key, effect in effects:
            if not isinstance(effect, str):
                for part, table, where in _rows(effect):
                    _check(f"claims.{name}.{key}.{part}", table, where, rows[table])


def _rows(effect: Effect) -> Iterator[tuple[str, str, Mapping[str, Value]]]:
    """Every row that an effect names: the part of the effect, the table, the values."""
    if isinstance(effect, Difference):
        yield "where", effect.table, effect.where
        if effect.less is not None:
            yield "less", effect.table, {**effect.where, **effect.less}
    elif isinstance(effect, Correlation):
        for part, statistic in (("x.where", effect.x), ("y.where", effect.y)):
            for run in effect.runs:
                yield part, statistic.table, {**statistic.where, "run": run}
    else:
        for part in ("run", "less"):
            yield part, "choices", {"run": getattr(effect, part), "statistic": effect.statistic}


def _check(key: str, table: str, where: Mapping[str, Any], rows: Rows) -> None:
    for column in KEYS[table]:
        known = list(dict.fromkeys(value for row in rows for value in row.get(column, [])))
        if known or not rows:
            if where[column] not in known:
                listed = ", ".join(known) or f"none: the study has no row in {table}"
                raise ValueError(f"{key}: expected {column} among {listed}, got {where[column]!r}")
            rows = [row for row in rows if where[column] in row[column]]
