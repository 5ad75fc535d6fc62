"""Text, JSON and tables: a round trip keeps every value, and a writer that fails leaves the earlier file."""

import errno

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


# ---- tables


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_tables_come_back(tmp_path, ending):
    table = pd.DataFrame({"run": ["a", "b"], "n": [3, 4], "mean": [0.25, None], "right": [True, False]}, index=[7, 9])
    io.write_table(tmp_path / f"t.{ending}", table)
    pd.testing.assert_frame_equal(io.read_table(tmp_path / f"t.{ending}"), table.reset_index(drop=True))


def test_a_csv_has_six_significant_digits(tmp_path):
    io.write_table(tmp_path / "t.csv", pd.DataFrame({"x": [1 / 3], "n": [12345678]}))
    assert (tmp_path / "t.csv").read_text() == "x,n,schema\n0.333333,12345678,2\n"


def test_a_table_of_unknown_ending_is_neither_written_nor_read(tmp_path):
    path = tmp_path / "new" / "t.txt"
    for use in (lambda: io.write_table(path, pd.DataFrame({"x": [1]})), lambda: io.read_table(path)):
        with pytest.raises(ValueError, match=r"t\.txt: expected a name ending in \.parquet or \.csv, got '\.txt'"):
            use()
    assert not path.parent.exists()


# ---- schema versions


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_an_empty_table_comes_back_and_carries_its_version(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    io.write_table(path, pd.DataFrame(columns=["run"]))
    assert list(io.read_table(path)) == ["run"] and io.read_table(path).empty
    if ending == "csv":
        assert path.read_text() == "run,schema\n"
    else:
        assert pq.read_schema(path).metadata == {b"schema_version": b"2"}


def write_version(path, version):
    """A table of two rows with a schema version of its own, or without one."""
    table = pd.DataFrame({"run": ["a", "b"]})
    if path.suffix == ".csv":
        (table if version is None else table.assign(schema=version)).to_csv(path, index=False)
    else:
        metadata = None if version is None else {b"schema_version": version.encode()}
        pq.write_table(pa.Table.from_pandas(table).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize(("version", "got"), [("1", "1"), ("3", "3"), (None, "none")])
def test_a_table_of_another_schema_version_is_refused_with_the_remedy(tmp_path, ending, version, got):
    path = tmp_path / f"t.{ending}"
    write_version(path, "2")
    assert io.read_table(path).to_dict("list") == {"run": ["a", "b"]}
    write_version(path, version)
    with pytest.raises(ValueError) as caught:
        io.read_table(path)
    assert str(caught.value) == (
        f"{path}: expected schema version 2, got {got}: `dvc repro` makes it anew; for committed results of another "
        "release, check out that release"
    )


def test_one_row_of_another_schema_version_or_cut_short_is_found(tmp_path):
    for last_row, got in (("b,1", "1"), ("b", "none"), ("b,", "none")):
        (tmp_path / "t.csv").write_text(f"run,schema\na,2\n{last_row}\n")
        with pytest.raises(ValueError, match=rf"t\.csv: expected schema version 2, got {got}:"):
            io.read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_with_a_column_named_as_the_version_is_not_written(tmp_path, ending):
    with pytest.raises(ValueError, match=rf"t\.{ending}: expected no column 'schema', .*got \['x', 'schema'\]"):
        io.write_table(tmp_path / f"t.{ending}", pd.DataFrame({"x": [1], "schema": [2]}))
    assert not any(tmp_path.iterdir())


# ---- JSON


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


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_that_pandas_takes_for_missing_values_are_names(tmp_path, suffix):
    names = ["None", "NA", "nan", "null", "N/A", "n/a", "NaN", "-nan", "#N/A", "<NA>", "NULL"]
    table = pd.DataFrame({"class": names, "mean": [0.5, float("nan"), *[1.0] * 9], "run": ["a", None, *["b"] * 9]})
    io.write_table(tmp_path / f"t.{suffix}", table)
    found = io.read_table(tmp_path / f"t.{suffix}")
    assert found["class"].tolist() == names
    assert found["mean"].isna().tolist() == found["run"].isna().tolist() == [False, True, *[False] * 9]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_that_look_like_numbers_are_names(tmp_path, suffix):
    names = {"class": ["01", "1", "1.0"], "run": ["inf", "-inf", "1e3"], "attack": ["True", "False", "True"]}
    table = pd.DataFrame({**names, "shell": [0, 1, 2]})
    io.write_table(tmp_path / f"t.{suffix}", table)
    pd.testing.assert_frame_equal(io.read_table(tmp_path / f"t.{suffix}"), table)


# ---- damaged files


def test_no_flipped_bit_of_a_parquet_file_is_another_table(tmp_path):
    """Headers and footer have no checksum in the format: a bit of theirs may be a column, or a file without rows."""
    path, table = tmp_path / "t.parquet", pd.DataFrame({"run": ["a", "b"], "n": [3, 4], "mean": [0.25, None]})
    io.write_table(path, table)
    good, errors = path.read_bytes(), 0
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        try:
            pd.testing.assert_frame_equal(io.read_table(path), table)
        except ValueError as error:
            assert "t.parquet: expected a table, got a damaged or other file" in str(error)
            errors += 1
    assert len(good) - errors <= len("spectroscope-sha256:")  # without its name the digest is not looked for
