"""The headline numbers of a study: what one compares across commits and branches."""

import pandas as pd

Metrics = dict[str, int | dict[str, dict[str, float | None]]]


def headline(
    accuracy: pd.DataFrame, reliance: pd.DataFrame, attack: str, warnings: dict[str, dict[str, str]], overfitted: int
) -> Metrics:
    """runs.<run>: clean (accuracy), attacked (accuracy under the attack), centroid (by margin, in shells); two counts.

    accuracy, reliance: tables of the findings. masked: warnings that gradients may be masked. overfitted: networks that
    overfitted catastrophically. A number that does not exist is None. ValueError for an attack without an accuracy.
    """
    if attack not in set(accuracy["attack"]):
        known = ", ".join(dict.fromkeys(accuracy["attack"]))
        raise ValueError(f"findings.attack: expected an attack within a ball among {known}, got {attack!r}")
    centroids = reliance[(reliance["statistic"] == "centroid") & (reliance["score"] == "margin")]
    columns = {
        "clean": accuracy[accuracy["attack"] == "clean"].set_index("run")["mean"],
        "attacked": accuracy[accuracy["attack"] == attack].set_index("run")["mean"],
        "centroid": centroids.set_index("run")["mean"],
    }
    runs = {
        run: {name: _number(column.get(run)) for name, column in columns.items()}
        for run in dict.fromkeys(accuracy["run"])
    }
    return {"runs": runs, "masked": sum(map(len, warnings.values())), "overfitted": overfitted}


def _number(value: float | None) -> float | None:
    """None for what is missing: JSON has no NaN."""
    return None if value is None or pd.isna(value) else float(value)
