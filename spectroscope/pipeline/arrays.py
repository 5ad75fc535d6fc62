"""Arrays and labelled images from the Parquet files of `images`, in NumPy: for stages that have no use for torch.

`images` writes these files, and reads them as tensors.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spectroscope.pipeline.files import reading, require_parquet_schema

ROWS_PER_GROUP, BYTES_PER_GROUP = 1024, 2**30  # at most
CONTENT = "images written by spectroscope"
METADATA_KEY = b"spectroscope"
LABELS = ("label", "cluster")  # columns of a file of images


@dataclass(frozen=True)
class Labels:
    """Labels and clusters (N,) int64 of the images of a file, and the name of each class: as of `images.Images`."""

    labels: np.ndarray
    clusters: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ArrayImages:
    """What `images.Images` holds, in NumPy: pixels (N, C, H, W) float32, and what `Labels` holds."""

    pixels: np.ndarray
    labels: np.ndarray
    clusters: np.ndarray
    classes: tuple[str, ...]


def rows_per_group(n_bytes: int) -> int:
    """Rows of arrays of so many bytes that are written and read at once: Arrow's batches end at 2 GiB."""
    return max(1, min(ROWS_PER_GROUP, BYTES_PER_GROUP // n_bytes))


def metadata(schema: pa.Schema) -> dict[str, Any]:
    """Shape and dtype of the arrays of a file with this schema, and the facts beside; ValueError when there are none.

    The class names of images are among the facts.
    """
    if METADATA_KEY not in (schema.metadata or {}):
        raise ValueError(f"its schema has no entry {METADATA_KEY.decode()!r}")
    return json.loads(schema.metadata[METADATA_KEY])


def read_arrays(path: Path) -> tuple[np.ndarray, pd.DataFrame, dict[str, Any]]:
    """Arrays (N, ...), table and facts of a file of `write_arrays`; ValueError naming the file when it is another."""
    require_parquet_schema(path, CONTENT)
    with reading(path, CONTENT), pq.ParquetFile(path, page_checksum_verification=True) as file:
        facts = metadata(file.schema_arrow)
        shape, dtype = tuple(facts.pop("shape")), np.dtype(facts.pop("dtype"))
        arrays = np.empty((file.metadata.num_rows, *shape), dtype)
        tables, start = [file.schema_arrow.empty_table().drop_columns(["pixels"]).to_pandas()], 0
        for batch in file.iter_batches(rows_per_group(file.schema_arrow.field("pixels").type.byte_width)):
            pixels = batch.column("pixels")
            # A batch may be a slice of a larger buffer, which begins `offset` arrays before it.
            flat = np.frombuffer(pixels.buffers()[1], dtype)[pixels.offset * arrays[0].size :]
            arrays[start : start + len(batch)] = flat[: len(batch) * arrays[0].size].reshape(-1, *shape)
            tables.append(batch.drop_columns(["pixels"]).to_pandas())
            start += len(batch)
    return arrays, pd.concat(tables[1:] or tables, ignore_index=True), facts


def read_attack(path: Path) -> dict[str, tuple[np.ndarray, pd.DataFrame]]:
    """Perturbations and rows of every attack in one cell's file, by name: the file's stem and the variant, if any."""
    perturbations, table, _ = read_arrays(path)
    rows_of_variants = table.groupby("variant", sort=False).indices
    return {
        f"{path.stem} {variant}".strip(): (perturbations[rows], table.iloc[rows].reset_index(drop=True))
        for variant, rows in rows_of_variants.items()
    }


def read_images(path: Path) -> ArrayImages:
    """Images with float32 pixels: uint8 pixels divided by 255, float pixels as they were written."""
    pixels, table, facts = read_arrays(path)
    found = _labels(path, table, facts)
    floats = np.divide(pixels, 255, dtype=np.float32) if pixels.dtype == np.uint8 else pixels
    return ArrayImages(floats, found.labels, found.clusters, found.classes)


def read_labels(path: Path) -> Labels:
    """The labels of a file of images, whose pixels are not decoded (its digest is that of all its bytes)."""
    require_parquet_schema(path, CONTENT)
    with reading(path, CONTENT):
        schema = pq.read_schema(path)
        facts = metadata(schema)
        there = [name for name in LABELS if name in schema.names]
        table = pq.read_table(path, columns=there, page_checksum_verification=True).to_pandas()
    return _labels(path, table, facts)


def read_facts(path: Path) -> dict[str, Any]:
    """The facts that the writer of a file of arrays or images added: without shape, dtype and class names."""
    require_parquet_schema(path, CONTENT)
    with reading(path, CONTENT):
        facts = metadata(pq.read_schema(path))
    return {key: value for key, value in facts.items() if key not in ("shape", "dtype", "classes")}


def _labels(path: Path, table: pd.DataFrame, facts: dict[str, Any]) -> Labels:
    if not set(LABELS) <= set(table) or "classes" not in facts:
        raise ValueError(f"{path}: expected labelled images, got columns {list(table)} and facts {list(facts)}")
    labels, clusters = (table[name].to_numpy(np.int64, copy=True) for name in LABELS)
    classes = tuple(facts["classes"])
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(f"{path}: expected labels 0..{len(classes) - 1}, got {labels.min()}..{labels.max()}")
    return Labels(labels, clusters, classes)
