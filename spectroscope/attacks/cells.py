"""A cell of the grid, written chunk by chunk: its memory does not grow with the images."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from torch import Tensor

from spectroscope import io


def write(path: Path, chunks: Iterable[tuple[Tensor, pd.DataFrame]]) -> None:
    """What `io.write_arrays` writes of all chunks, arrays (n, ...) and their n rows, with a row group for each.

    ValueError where there is none, or one whose arrays or columns are not those of the first.
    """
    writer = None
    with io.replacing(path) as temporary:
        part = temporary.with_name(f"{temporary.name}.part")
        try:
            for arrays, table in chunks:
                io.write_arrays(part, arrays, table)
                rows = pq.read_table(part, page_checksum_verification=True)
                writer = writer or pq.ParquetWriter(
                    temporary, rows.schema, compression="zstd", write_page_checksum=True
                )
                writer.write_table(rows)
            if not writer:
                raise ValueError(f"{path}: expected at least one chunk, got none")
        finally:
            part.unlink(missing_ok=True)
            if writer:
                writer.close()
