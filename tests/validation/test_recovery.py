"""Recovery of a planted band, in cases whose answer is known."""

from pathlib import Path

import pandas as pd
import pytest
from validation_cases import BAND_TABLE, STATISTICS, values

from spectroscope.dataset.registry import DatasetSettings
from spectroscope.pipeline.params import read, validate
from spectroscope.validation.recovery import planted_positions, recovery


def test_recovery_counts_the_seeds_that_name_a_planted_band_and_what_its_removal_costs():
    table = values({"finds": [9, 0, 5, 1], "misses": [9, 5, 0, 1]}, seeds=10)
    rows = [
        {
            "seed": seed,
            "image": image,
            "band": band,
            "right": True,
            "right_without": band != 2,
            "right_other": image > 0,
        }
        for seed in range(10)
        for image in range(4)
        for band in range(4)
    ]
    found = recovery("standard", table, BAND_TABLE, pd.DataFrame(rows), [(0.5, 0.7)], STATISTICS)
    found = found.set_index("method")
    assert found["mean"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_named"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found["hurt_other"].to_dict() == {"finds": 0.25, "misses": 0.25}
    assert found["hurts_more"].to_dict() == {"finds": 1.0, "misses": 0.0}
    assert found.loc["finds", "low"] == pytest.approx(0.05 ** (1 / 10))  # exact: all of ten, at 90 %
    assert found.loc["finds", "high"] == 1


def test_cues_are_planted_between_their_lowest_and_highest_shell():
    dataset = read(Path(__file__).parents[2] / "studies" / "planted.yaml")["dataset"]
    planted = validate(
        dataset | {"size": 32, "cues": [dataset["cues"][0] | {"low": 8, "high": 17}]}, DatasetSettings, "d"
    )
    assert planted_positions(planted) == [(0.25, 0.5)]
    photos = validate(read(Path(__file__).parents[2] / "studies" / "smoke.yaml")["dataset"], DatasetSettings, "d")
    assert planted_positions(photos) == []
    assert recovery("standard", values({"a": [9, 1, 2, 3]}), BAND_TABLE, pd.DataFrame(), [], STATISTICS).empty
