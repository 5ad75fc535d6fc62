"""The headline numbers of a study: what one compares across commits and branches."""

import pandas as pd


def headline(accuracy: pd.DataFrame, reliance: pd.DataFrame, attack: str) -> dict[str, dict[str, float | None]]:
    """<run>: clean (accuracy), attacked (accuracy under the attack), centroid (by margin, in shells).

    accuracy, reliance: tables of the findings. A number that does not exist, or a centroid
    that is no centre of reliance, is None. ValueError for an attack without
    an accuracy.
    """
    if attack not in set(accuracy["attack"]):
        known = ", ".join(dict.fromkeys(accuracy["attack"]))
        raise ValueError(f"findings.attack: expected an attack within a ball among {known}, got {attack!r}")
    centroids = reliance[(reliance["statistic"] == "centroid") & (reliance["score"] == "margin") & ~reliance["marked"]]
    columns = {
        "clean": accuracy[accuracy["attack"] == "clean"].set_index("run")["mean"],
        "attacked": accuracy[accuracy["attack"] == attack].set_index("run")["mean"],
        "centroid": centroids.set_index("run")["mean"],
    }
    return {
        run: {name: _number(column.get(run)) for name, column in columns.items()}
        for run in dict.fromkeys(accuracy["run"])
    }


def _number(value: float | None) -> float | None:
    """None for what is missing: JSON has no NaN."""
    return None if value is None or pd.isna(value) else float(value)
