"""Text, JSON and tables as files: each written whole or not at all, and named in every error of its reader.

A writer writes to a temporary name in the target's folder and renames it at the end, so a killed process leaves no
half-written file under the final name. Tables and images carry the version of their columns (SCHEMA), and a file of
another version is refused, because a column may have kept its name and changed its meaning. Parquet files hold a digest
of all their bytes: the format has checksums of its pages alone, and one flipped bit elsewhere would be another class,
another shape, or a file without rows.
"""

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

SCHEMA = 2  # version of the columns of all tables and image files; raise it when one is renamed or means another thing
SCHEMA_METADATA = {b"schema_version": str(SCHEMA).encode()}  # metadata of every Parquet file
DIGEST, DIGITS = b"spectroscope-sha256:", 64  # how the digest in a Parquet file begins, and how long it is
MENDING = ": remove it, then `dvc checkout` restores it, or `dvc repro` makes it anew"
SCHEMA_COLUMN = "schema"  # last column of every CSV file
NAMES = (
    "run",
    "attack",
    "entry",
    "source",
    "reference",
    "method",
    "other",
    "class",
    "layer",
)  # columns that are never numbers


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: renamed to `path` when the block ends well, removed when it raises.

    An OSError of the block is raised again with the name of the file in front.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(f"{path}: expected to write this file, got: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def reading(path: Path, content: str, advice: str = MENDING) -> Iterator[None]:
    """ValueError naming `path` and its expected `content` when the block finds the file missing, damaged or another.

    `advice`: how the error about a damaged file ends.
    """
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: expected {content}, found no file") from None
    except (pa.ArrowException, SafetensorError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: expected {content}, got a damaged or other file ({error}){advice}") from None


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Remove every file and folder of `folder` that is not among `names`."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """A text file, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """A JSON file with sorted keys and six significant digits; ValueError for NaN and infinity (use None instead)."""
    try:
        text = json.dumps(_rounded(content), indent=2, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path}: expected finite numbers or None, got another number ({error})") from None
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file; ValueError naming the file when it is missing or damaged."""
    with reading(path, "JSON"):
        return json.loads(path.read_text())


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A table without its index, as Parquet or as CSV with six significant digits, by the suffix of `path`.

    The schema version is metadata of the Parquet schema, and the last column of a CSV; ValueError for a table that has
    a column of that name.
    """
    parquet = _is_parquet(path)
    if SCHEMA_COLUMN in table:
        raise ValueError(f"{path}: expected no column {SCHEMA_COLUMN!r}, which is the version, got {list(table)}")
    with replacing(path) as temporary:
        if parquet:
            # Without pandas' metadata, which differs from version to version, the same table gives the same bytes.
            columns = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(SCHEMA_METADATA)
            with parquet_writer(temporary, columns.schema) as writer:
                writer.write_table(columns)
        else:
            table.assign(**{SCHEMA_COLUMN: SCHEMA}).to_csv(temporary, index=False, float_format="%.6g")


def read_table(path: Path) -> pd.DataFrame:
    """A table that `write_table` wrote, without the column of its version.

    ValueError naming the file when it is missing, damaged, or of another schema version.
    """
    if _is_parquet(path):
        require_parquet_schema(path, "a table")
        with reading(path, "a table"):
            return pd.read_parquet(path, page_checksum_verification=True)
    with reading(path, "a table"):
        # A class or a run may be named NA, None or null, which is no missing cell, and 01 or inf, which is no number.
        dtypes = dict.fromkeys((*NAMES, SCHEMA_COLUMN), "str")
        table = pd.read_csv(path, dtype=dtypes, keep_default_na=False, na_values=[""])
    versions = table.pop(SCHEMA_COLUMN).fillna("none").unique() if SCHEMA_COLUMN in table else ["none"]
    for version in versions:
        _require_schema(path, version)
    return table


def require_parquet_schema(path: Path, content: str) -> None:
    """ValueError naming the Parquet file `path` and its expected `content` for another schema version or digest."""
    with reading(path, content):
        _require_digest(path)
        metadata = pq.read_schema(path).metadata or {}
        version = metadata.get(b"schema_version", b"none").decode()
    _require_schema(path, version)


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Writes a Parquet file with checksums of its pages and, in its metadata, the SHA-256 of all its bytes.

    Of all but the digest's own DIGITS, which are zeros for it.
    """
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        yield writer
        writer.add_key_value_metadata({b"digest": DIGEST + b"0" * DIGITS})
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        place = content.rfind(DIGEST) + len(DIGEST)
        content[place : place + DIGITS] = hashlib.sha256(content).hexdigest().encode()


def _require_digest(path: Path) -> None:
    """ValueError for a Parquet file with the digest of other bytes; a file without a digest passes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.rfind(DIGEST) + len(DIGEST)
        if place < len(DIGEST):
            return
        with memoryview(content) as whole, whole[:place] as before, whole[place + DIGITS :] as after:
            digest = hashlib.sha256(before)
            digest.update(b"0" * DIGITS)
            digest.update(after)
        if content[place : place + DIGITS] != digest.hexdigest().encode():
            raise ValueError("its bytes are not those that were written")


def _require_schema(path: Path, version: str) -> None:
    if version != str(SCHEMA):
        raise ValueError(
            f"{path}: expected schema version {SCHEMA}, got {version}: `dvc repro` makes it anew; for committed "
            "results of another release, check out that release"
        )


def _is_parquet(path: Path) -> bool:
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: expected a name ending in .parquet or .csv, got {path.suffix!r}")
    return path.suffix == ".parquet"


def _rounded(value: Any) -> Any:
    """`value` with NumPy numbers as Python's and floats rounded to six significant digits, in nested containers too."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}")
    return value.item() if isinstance(value, np.generic) else value
