"""Images and perturbations as Parquet files: one row each, with its label or its attack's outcome beside its pixels."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from spectroscope.pipeline import arrays as numpy_arrays
from spectroscope.pipeline.arrays import METADATA_KEY, metadata, rows_per_group
from spectroscope.pipeline.files import SCHEMA_METADATA, parquet_writer, replacing


@dataclass(frozen=True)
class Images:
    """Labelled images: pixels (N, C, H, W) float32, labels (N,) int64, and the name of each class.

    `clusters` (N,) int64: images with the same number are not independent, as patches that overlap. Where it is not
    given, each image is a cluster of its own: 0..N-1.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    clusters: Tensor = None  # type: ignore[assignment]  # a tensor once the images are made

    def __post_init__(self) -> None:
        if self.clusters is None:
            object.__setattr__(self, "clusters", torch.arange(len(self.labels)))
        if len(self.clusters) != len(self.labels):
            raise ValueError(f"expected a cluster for each of {len(self.labels)} images, got {len(self.clusters)}")

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, n: int) -> "Images":
        """The first n images; ValueError when there are fewer."""
        if n > len(self):
            raise ValueError(f"expected at least {n} images, got {len(self)}")
        return Images(self.pixels[:n], self.labels[:n], self.classes, self.clusters[:n])


def write_arrays(path: Path, arrays: Tensor, table: pd.DataFrame, **facts: Any) -> None:
    """One Parquet file: the rows of `table`, with one array of `arrays` (N, ...) a row as bytes in the column `pixels`.

    Arrays are uint8 or float32, little-endian, in C order. Their shape and dtype and the `facts` (anything JSON holds)
    are metadata of the schema, beside its version. pandas reads the file: one array is
    `np.frombuffer(row.pixels, dtype).reshape(shape)`.
    """
    write_chunks(path, [(arrays, table)], **facts)


def write_chunks(path: Path, chunks: Iterable[tuple[Tensor, pd.DataFrame]], **facts: Any) -> None:
    """The file of `write_arrays` from chunks of its rows: each is written before the next is asked for, to save memory.

    ValueError when there is no chunk, or when shapes, dtypes or columns differ between chunks.
    """
    schema: pa.Schema | None = None
    with replacing(path) as temporary, ExitStack() as open_file:
        for arrays, table in chunks:
            chunk_schema, rows = _schema_and_rows(path, arrays, table, facts)
            if schema is None:
                schema = chunk_schema
                writer = open_file.enter_context(parquet_writer(temporary, schema))
            elif not chunk_schema.equals(schema, check_metadata=True):
                raise ValueError(f"{path}: expected chunks of one schema, got {_difference(schema, chunk_schema)}")
            n_rows = rows_per_group(schema.field("pixels").type.byte_width)
            for start in range(0, len(arrays), n_rows):
                block = np.ascontiguousarray(arrays[start : start + n_rows].cpu().numpy())
                buffers = [None, pa.py_buffer(block)]  # no validity bitmap: no array is missing
                pixels = pa.FixedSizeBinaryArray.from_buffers(schema.field("pixels").type, len(block), buffers)
                columns = rows.slice(start, n_rows).columns
                writer.write_table(pa.Table.from_arrays([*columns, pixels], schema=schema))
        if schema is None:
            raise ValueError(f"{path}: expected at least one chunk, got none")


def _difference(schema: pa.Schema, other: pa.Schema) -> str:
    """The first column in which two schemas differ, or their metadata."""
    one, two = ([f"column {field.name} ({field.type})" for field in fields] for fields in (schema, other))
    pairs = zip_longest([*one, metadata(schema)], [*two, metadata(other)])
    return next(f"{a} and {b}" for a, b in pairs if a != b)


def _schema_and_rows(
    path: Path, arrays: Tensor, table: pd.DataFrame, facts: dict[str, Any]
) -> tuple[pa.Schema, pa.Table]:
    """The file's schema, and the table as Arrow columns without pixels."""
    if len(arrays) != len(table):
        raise ValueError(f"{path}: expected one table row for each of {len(arrays)} arrays, got {len(table)}")
    if arrays.dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"{path}: expected uint8 or float32 arrays, got {arrays.dtype}")
    known = {"shape": list(arrays.shape[1:]), "dtype": str(arrays.dtype).removeprefix("torch."), **facts}
    n_bytes = arrays[0].numel() * arrays.element_size() if len(arrays) else 1
    rows = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    schema = rows.schema.append(pa.field("pixels", pa.binary(n_bytes)))
    facts_as_json = json.dumps(known, sort_keys=True).encode()
    return schema.with_metadata({**SCHEMA_METADATA, METADATA_KEY: facts_as_json}), rows


def read_arrays(path: Path) -> tuple[Tensor, pd.DataFrame, dict[str, Any]]:
    """Arrays (N, ...), table and facts of a file of `write_arrays`; ValueError naming the file when it is another."""
    arrays, table, facts = numpy_arrays.read_arrays(path)
    return torch.from_numpy(arrays), table, facts


def read_attack(path: Path) -> dict[str, tuple[Tensor, pd.DataFrame]]:
    """Perturbations and rows of every attack in one cell's file, by name: the file's stem and the variant, if any."""
    found = numpy_arrays.read_attack(path)
    return {name: (torch.from_numpy(perturbations), rows) for name, (perturbations, rows) in found.items()}


def write_images(path: Path, images: Images, **facts: Any) -> None:
    """Images as Parquet, in the dtype of their pixels: float32, or uint8 where `images` has uint8 pixels."""
    table = pd.DataFrame({"label": images.labels.numpy(), "cluster": images.clusters.numpy()})
    write_arrays(path, images.pixels, table, classes=list(images.classes), **facts)


def read_images(path: Path) -> Images:
    """Images with float32 pixels: uint8 pixels divided by 255, float pixels as they were written."""
    found = numpy_arrays.read_images(path)
    pixels, labels, clusters = (torch.from_numpy(array) for array in (found.pixels, found.labels, found.clusters))
    return Images(pixels, labels, found.classes, clusters)
