"""The estimates behind a table's rows survive the file, and are found by the row's keys."""

import numpy as np
import pandas as pd
import pytest

from spectroscope.pipeline import io
from spectroscope.statistics import cells
from spectroscope.statistics.estimates import StatisticsSettings, from_replicates, group_names, means, summary

SETTINGS = StatisticsSettings(confidence=0.9, groups=10)
VALUES = np.random.default_rng(0).integers(0, 2, (3, 12, 2)).astype(float)


def table() -> pd.DataFrame:
    of_attacks = means(VALUES, np.arange(12) // 2, share=True)
    return cells.rows({"run": "standard", "attack": ["clean", "pgd"], "clean": 0.5}, of_attacks, SETTINGS)


def test_a_row_read_back_gives_the_interval_of_its_table(tmp_path):
    cells.write({"accuracy": table(), "training": pd.DataFrame({"epoch": [1]})}, tmp_path, tmp_path / "e.parquet")
    found, why = cells.read([tmp_path / "e.parquet"])["accuracy"]["standard", "pgd"]
    assert why == "" and found.share and found.n_images == 12 and found.groups.tolist() == [0, 1, 2, 3, 4, 5]
    row = table().iloc[1]
    again = summary(found, SETTINGS)
    assert [again[name][0] for name in ("mean", "low", "high")] == row[["mean", "low", "high"]].tolist()
    assert list(io.read_table(tmp_path / "accuracy.csv"))[-1] == "networks"


def test_bounds_and_marks_are_kept_and_a_shell_is_found_by_its_number(tmp_path):
    names = group_names(np.arange(12), np.arange(12))
    replicates = np.random.default_rng(1).random((3, 13, 2))
    curve = cells.rows(
        {"run": "a", "attack": "pgd", "source": "attack", "shape": "linf", "shell": range(2)},
        from_replicates(replicates, 12, names=names),
        SETTINGS,
    )
    bounded = from_replicates(replicates[:, :, :1], 12, bounds=(0, np.inf), names=names)
    relied = cells.rows({"run": "a", "score": "margin", "statistic": "centroid", "marked": True}, bounded, SETTINGS)
    cells.write({"calibrated": curve, "reliance": relied}, tmp_path, tmp_path / "e.parquet")
    found = cells.read([tmp_path / "e.parquet"])
    (of_shell, _), (of_run, why) = (
        found["calibrated"]["a", "pgd", "attack", "linf", "1"],
        found["reliance"]["a", "margin", "centroid"],
    )
    np.testing.assert_allclose(of_shell.by_network[:, 0], replicates[:, 0, 1])
    assert of_shell.bounds is None and of_run.bounds == (0, np.inf) and why == cells.MARKED


def test_estimates_that_do_not_know_their_groups_are_refused(tmp_path):
    nameless = cells.rows({"run": "a", "band": "low"}, from_replicates(VALUES[:, :, :1], 12), SETTINGS)
    with pytest.raises(ValueError, match="band_accuracy: expected estimates that know their groups of images"):
        cells.write({"band_accuracy": nameless}, tmp_path, tmp_path / "e.parquet")
