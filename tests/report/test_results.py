"""What the page reads is checked: a table that is missing, empty or lacks a column is named."""

import numpy as np
import pandas as pd
import pytest
import report_tables

from spectroscope.pipeline import io
from spectroscope.report import results


@pytest.fixture(scope="module")
def whole():
    return report_tables.tables(2)


@pytest.fixture
def folder(whole, tmp_path):
    for name, table in whole.items():
        io.write_table(tmp_path / f"{name}.csv", table)
    return tmp_path


def test_every_table_is_read(folder, whole):
    assert set(results.read_tables(folder)) == set(whole) == set(results.TABLES) | set(results.OPTIONAL_TABLES)


@pytest.mark.parametrize(("name", "column"), [("accuracy", "run"), ("accuracy", "n_seeds"), ("contrasts", "low")])
def test_a_missing_column_is_named(folder, whole, name, column):
    io.write_table(folder / f"{name}.csv", whole[name].drop(columns=column))
    with pytest.raises(ValueError, match=rf"{name}\.csv: expected column {column}, got"):
        results.read_tables(folder)


def test_a_missing_table_is_named(folder):
    (folder / "band_accuracy.csv").unlink()
    with pytest.raises(ValueError, match=r"band_accuracy\.csv: expected a table, found no file"):
        results.read_tables(folder)


def test_an_empty_table_is_refused_unless_a_study_may_leave_it_empty(folder, whole):
    io.write_table(folder / "signs.csv", pd.DataFrame(columns=["run"]))
    assert results.read_tables(folder)["signs"].empty
    io.write_table(folder / "band_accuracy.csv", whole["band_accuracy"].head(0))
    with pytest.raises(ValueError, match=r"band_accuracy\.csv: expected at least one row"):
        results.read_tables(folder)


def test_candidates_are_the_first_images_of_the_lowest_seed():
    rows = pd.DataFrame({"seed": np.repeat([2, 1], 100), "image": [*range(100)] * 2})
    perturbations, kept = results.candidates(np.arange(200.0), rows)
    assert kept["seed"].unique().tolist() == [1]
    assert kept["image"].tolist() == list(range(results.CANDIDATES))
    np.testing.assert_array_equal(perturbations, np.arange(100.0, 100 + results.CANDIDATES))
