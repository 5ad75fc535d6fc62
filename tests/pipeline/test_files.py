"""Text, JSON and tables: a round trip keeps every value, and a writer that fails leaves the earlier file."""

import errno

import numpy as np
import pandas as pd
import pytest

from spectroscope.pipeline import io

# ---- replacing a file


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("old", [None, b"good"])
def test_an_error_in_the_middle_leaves_the_earlier_file_or_none(tmp_path, error, old):
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error)), io.replacing(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_bytes(b"half")
        raise error
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == ({path.name: old} if old else {})


def test_a_file_that_is_replaced_is_not_edited_in_place(tmp_path):
    """DVC may link a file of the workspace to its cache."""
    io.write_text(tmp_path / "a.txt", "old")
    (tmp_path / "cache").hardlink_to(tmp_path / "a.txt")
    io.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "cache").read_text() == "old" and (tmp_path / "a.txt").read_text() == "new"


# ---- tables and JSON


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_come_back(tmp_path, ending):
    table = pd.DataFrame({"run": ["a", "b"], "n": [3, 4], "mean": [0.25, None], "right": [True, False]}, index=[7, 9])
    io.write_table(tmp_path / f"t.{ending}", table)
    pd.testing.assert_frame_equal(io.read_table(tmp_path / f"t.{ending}"), table.reset_index(drop=True))


def test_a_csv_has_six_significant_digits(tmp_path):
    io.write_table(tmp_path / "t.csv", pd.DataFrame({"x": [1 / 3], "n": [12345678]}))
    assert (tmp_path / "t.csv").read_text() == "x,n\n0.333333,12345678\n"


def test_a_table_of_unknown_ending_is_neither_written_nor_read(tmp_path):
    path = tmp_path / "new" / "t.txt"
    for use in (lambda: io.write_table(path, pd.DataFrame({"x": [1]})), lambda: io.read_table(path)):
        with pytest.raises(ValueError, match=r"t\.txt: expected a name ending in \.parquet or \.csv, got '\.txt'"):
            use()
    assert not path.parent.exists()


def test_json_is_sorted_rounded_and_plain(tmp_path):
    io.write_json(
        tmp_path / "m.json", {"b": np.float32(1 / 3), "a": {"z": np.int64(2), "y": None}, "c": (1e-9 / 3, True)}
    )
    text = (tmp_path / "m.json").read_text()
    assert io.read_json(tmp_path / "m.json") == {"a": {"y": None, "z": 2}, "b": 0.333333, "c": [3.33333e-10, True]}
    assert text.index('"a"') < text.index('"y"') < text.index('"z"') < text.index('"b"') and text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float64("nan"), np.float32("-inf")])
def test_json_refuses_a_number_that_does_not_exist(tmp_path, number):
    with pytest.raises(ValueError, match=r"m\.json: expected finite numbers"):
        io.write_json(tmp_path / "m.json", {"runs": {"a": [1.0, number]}})
    assert not any(tmp_path.iterdir())
