"""Files: written whole or not at all, checked when read.

Every writer goes to a temporary name in the target's own folder and is renamed at the end, so that a killed process
leaves no half-written file under the final name. Every reader names the file in its errors.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ROWS_PER_GROUP = 1024
_KEY = b"spectroscope"


@dataclass(frozen=True)
class Images:
    """A labelled set of images: pixels (N, C, H, W) float32, labels (N,) int64, one name for each class."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, n: int) -> "Images":
        """The first n images; ValueError when there are fewer."""
        if n > len(self):
            raise ValueError(f"expected at least {n} images, got {len(self)}")
        return Images(self.pixels[:n], self.labels[:n], self.classes)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well and vanishes when it does not."""
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


def write_arrays(path: Path, arrays: Tensor, table: pd.DataFrame, **facts: Any) -> None:
    """One Parquet file: the rows of `table`, each with its array (N, ...) as bytes in the column `pixels`.

    uint8 or float32, little-endian, C order; shape, dtype and `facts` (anything JSON holds) go to the schema.
    pandas reads it: `np.frombuffer(row.pixels, dtype).reshape(shape)` is one array.
    """
    write_chunks(path, [(arrays, table)], **facts)


def write_chunks(path: Path, chunks: Iterable[tuple[Tensor, pd.DataFrame]], **facts: Any) -> None:
    """The same file from chunks of its rows, each written before the next is asked for: memory does not grow with them.

    ValueError where there is no chunk, or one whose arrays or columns are not those of the first.
    """
    schema, options = None, {"compression": "zstd", "write_page_checksum": True}
    with replacing(path) as temporary, ExitStack() as open_file:
        for arrays, table in chunks:
            own, rows = _laid_out(path, arrays, table, facts)
            if schema is None:
                schema, writer = own, open_file.enter_context(pq.ParquetWriter(temporary, own, **options))
            elif not own.equals(schema, check_metadata=True):
                raise ValueError(f"{path}: expected chunks of one schema, got {schema} and {own}")
            for start in range(0, len(arrays), ROWS_PER_GROUP):
                block = np.ascontiguousarray(arrays[start : start + ROWS_PER_GROUP].cpu().numpy())
                kind, bytes_ = schema.field("pixels").type, [None, pa.py_buffer(block)]
                column = pa.FixedSizeBinaryArray.from_buffers(kind, len(block), bytes_)
                part = rows.slice(start, ROWS_PER_GROUP)
                writer.write_table(pa.Table.from_arrays([*part.columns, column], schema=schema))
        if schema is None:
            raise ValueError(f"{path}: expected at least one chunk, got none")


def _laid_out(path: Path, arrays: Tensor, table: pd.DataFrame, facts: dict[str, Any]) -> tuple[pa.Schema, pa.Table]:
    """The schema of these arrays and rows, and the rows."""
    if len(arrays) != len(table):
        raise ValueError(f"{path}: expected one table row for each of {len(arrays)} arrays, got {len(table)}")
    if arrays.dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"{path}: expected uint8 or float32 arrays, got {arrays.dtype}")
    about = {"shape": list(arrays.shape[1:]), "dtype": str(arrays.dtype).removeprefix("torch."), **facts}
    width = arrays[0].numel() * arrays.element_size() if len(arrays) else 1
    rows = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    schema = rows.schema.append(pa.field("pixels", pa.binary(width)))
    return schema.with_metadata({_KEY: json.dumps(about, sort_keys=True).encode()}), rows


def read_arrays(path: Path) -> tuple[Tensor, pd.DataFrame, dict[str, Any]]:
    """What `write_arrays` wrote: arrays (N, ...), table, facts. ValueError naming the file when it is not that."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = _about(file.schema_arrow)
            shape, dtype = tuple(about.pop("shape")), np.dtype(about.pop("dtype"))
            arrays = np.empty((file.metadata.num_rows, *shape), dtype)
            tables, start = [file.schema_arrow.empty_table().drop_columns(["pixels"]).to_pandas()], 0
            for batch in file.iter_batches(ROWS_PER_GROUP):
                column = batch.column("pixels")
                flat = np.frombuffer(column.buffers()[1], dtype)[column.offset * arrays[0].size :]
                arrays[start : start + len(batch)] = flat[: len(batch) * arrays[0].size].reshape(-1, *shape)
                tables.append(batch.drop_columns(["pixels"]).to_pandas())
                start += len(batch)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a file, found none") from None
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected images written by spectroscope, got a damaged or other file ({error})"
        ) from None
    table = pd.concat(tables[1:] or tables, ignore_index=True)
    return torch.from_numpy(arrays), table, about


def read_attack(path: Path) -> dict[str, tuple[Tensor, pd.DataFrame]]:
    """Perturbations and rows of each attack in a cell's file, which is named after the file and its variant."""
    arrays, table, _ = read_arrays(path)
    parts = table.groupby("variant", sort=False).indices
    return {
        f"{path.stem} {variant}".strip(): (arrays[rows], table.iloc[rows].reset_index(drop=True))
        for variant, rows in parts.items()
    }


def _about(schema: pa.Schema) -> dict[str, Any]:
    if _KEY not in (schema.metadata or {}):
        raise ValueError(f"its schema has no entry {_KEY.decode()!r}")
    return json.loads(schema.metadata[_KEY])


def write_images(path: Path, images: Images, **facts: Any) -> None:
    """Images as Parquet: uint8 pixels are kept as uint8 (pass `Images` with a uint8 tensor), floats as float32."""
    table = pd.DataFrame({"label": images.labels.numpy()})
    write_arrays(path, images.pixels, table, classes=list(images.classes), **facts)


def read_images(path: Path) -> Images:
    """Images with float32 pixels; uint8 is scaled once to [0, 1], floats are returned as they were written."""
    pixels, table, facts = read_arrays(path)
    if "label" not in table or "classes" not in facts:
        raise ValueError(f"{path}: expected labelled images, got columns {list(table)} and facts {list(facts)}")
    labels, classes = torch.from_numpy(table["label"].to_numpy(np.int64, copy=True)), tuple(facts["classes"])
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(f"{path}: expected labels 0..{len(classes) - 1}, got {labels.min()}..{labels.max()}")
    return Images(pixels.div(255) if pixels.dtype == torch.uint8 else pixels, labels, classes)


def read_facts(path: Path) -> dict[str, Any]:
    """What the writer of an arrays file said of it, without shape, dtype and class names."""
    try:
        about = _about(pq.read_schema(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a file, found none") from None
    except (pa.ArrowException, KeyError, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected arrays written by spectroscope, got another or damaged file: {error}"
        ) from None
    return {key: value for key, value in about.items() if key not in ("shape", "dtype", "classes")}


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A table as .parquet or .csv, after the ending of `path`."""
    parquet = _is_parquet(path)
    with replacing(path) as temporary:
        if parquet:
            plain = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
            pq.write_table(plain, temporary, compression="zstd", write_page_checksum=True)
        else:
            table.to_csv(temporary, index=False, float_format="%.6g")


def read_table(path: Path) -> pd.DataFrame:
    """A table that `write_table` wrote."""
    parquet = _is_parquet(path)
    try:
        return pd.read_parquet(path, page_checksum_verification=True) if parquet else pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a table, found no file") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        raise ValueError(f"{path}: expected a table, got a damaged or other file ({error})") from None


def _is_parquet(path: Path) -> bool:
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: expected a name ending in .parquet or .csv, got {path.suffix!r}")
    return path.suffix == ".parquet"


def write_json(path: Path, content: Any) -> None:
    """Sorted keys, six significant digits, no NaN: a number that does not exist must be None."""
    try:
        text = json.dumps(_rounded(content), indent=2, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"{path}: expected finite numbers, or None where there is none, got one that is not ({error})"
        ) from None
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a JSON file, found none") from None
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got a damaged file ({error})") from None


def write_text(path: Path, text: str) -> None:
    """A text file, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_weights(path: Path, model: nn.Module) -> None:
    """Weights and buffers as safetensors: the same values give the same bytes, and reading runs no code."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(path) as temporary:
        try:
            save_file(weights, temporary)
        except SafetensorError as error:  # what it makes of a full disk
            raise OSError(str(error)) from None


def read_weights(path: Path, model: nn.Module) -> nn.Module:
    """`model` with the weights of `path`; ValueError naming the file and the tensors that do not fit."""
    return fill(model, read_tensors(path), path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file by its name."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: expected weights, found no file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected weights as safetensors, got a damaged or other file ({error})") from None


def fill(model: nn.Module, found: dict[str, Tensor], path: Path) -> nn.Module:
    """`model` with these weights, which came from `path`; ValueError when a name or a shape is not the model's."""
    wanted = model.state_dict()
    faults = [f"missing {name}" for name in wanted.keys() - found.keys()]
    faults += [f"unknown {name}" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name}: expected {tuple(wanted[name].shape)}, got {tuple(found[name].shape)}"
        for name in wanted.keys() & found.keys()
        if wanted[name].shape != found[name].shape
    ]
    if faults:
        raise ValueError(f"{path}: the weights do not fit the model: {'; '.join(sorted(faults)[:5])}")
    model.load_state_dict(found)
    return model


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(below) for below in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}")
    return value.item() if isinstance(value, np.generic) else value
