"""Parquet files in the layout in which the Hugging Face hub publishes image data sets.

They have a column of encoded images, as bytes or as a struct with a field `bytes`, and a column of integer labels. The
schema's metadata has the names of the classes under the key `huggingface`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from spectroscope.dataset.decode import decode_all
from spectroscope.dataset.files import find_files, local_copies, require_different, sha256_of, temporary_folder
from spectroscope.dataset.splits import SPLITS, Dataset, Limit, Side, check_labels, class_balanced_order
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Seed, Settings

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "coarse_label")
READ_BATCH_SIZE = 256
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)


class ParquetSettings(Settings):
    """`train` and `test`: a file, a glob, a folder (its files `train*.parquet`, `test*.parquet`) or a URL, in which
    `{00000..00004}` stands for five files. `image` and `label`: columns, null finds them by their usual names. `size`
    null keeps the images as they are.
    """

    name: Literal["parquet"]
    train: str
    test: str
    image: str | None
    label: str | None
    channels: Literal[1, 3]
    size: Side | None
    limit: Limit
    seed: Seed


class _File(NamedTuple):
    """A file, under the name that messages use: its path, or the URL that it was downloaded from."""

    path: Path
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _Split:
    """The files of a split, the labels (n,) in each, the image column, and the class names of the schema."""

    files: list[_File]
    labels: list[Tensor]
    image: str
    classes: tuple[str, ...] | None


def load(settings: ParquetSettings) -> Dataset:
    """Images (N, channels, H, W); classes are named 0..K-1 where the files do not name them.

    Of several label columns, the first of LABEL_COLUMNS is taken. The digest is that of all files. Downloaded files
    are deleted once they are read.
    ValueError naming the file, column or row that is missing, damaged or out of range, or the URL.
    """
    names = {split: find_files(getattr(settings, split), split) for split in SPLITS}
    shared = set(names["train"]) & set(names["test"])
    if shared:
        raise ValueError(f"{min(shared)}: expected a file of one split, got it in train and test")
    with temporary_folder() as folder:
        paths = {split: local_copies(names[split], folder / split) for split in SPLITS}
        require_different(paths["train"], paths["test"])
        files = {split: list(map(_File, paths[split], names[split])) for split in SPLITS}
        splits = {split: _inspect(files[split], settings) for split in SPLITS}
        classes = _classes(splits)
        train, test = (_read(splits[split], split, classes, settings) for split in SPLITS)
        return Dataset(train, test, sha256_of(paths["train"] + paths["test"]))


def _inspect(files: list[_File], settings: ParquetSettings) -> _Split:
    """Columns, labels and class names of a split: every fault that shows before an image is decoded."""
    labels, images, classes = [], set(), set()
    for file in files:
        with _readable(file), pq.ParquetFile(file.path, page_checksum_verification=True) as source:
            schema = source.schema_arrow
            image = _column(settings.image, IMAGE_COLUMNS, "image", schema, file)
            label = _column(settings.label, LABEL_COLUMNS, "label", schema, file)
            _check_images(schema.field(image), file)
            column = source.read([label]).column(0)
            if len(column) != source.metadata.num_rows:  # a damaged header: its page is left out
                raise ValueError(f"{file}: expected {source.metadata.num_rows} labels, got {len(column)}")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not pa.types.is_integer(column.type):
            raise ValueError(f"{file}: column {label}: expected integer labels, got {column.type}")
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ValueError(f"{file}: row {row}: expected a label in column {label}, got null")
        if pa.types.is_uint64(column.type) and len(column) and pc.max(column).as_py() >= 2**63:
            raise ValueError(f"{file}: column {label}: expected labels from 0, got {pc.max(column).as_py()}")
        labels.append(torch.tensor(column.to_numpy().astype("int64")))
        images.add(image)
        classes.add(class_names(schema, label, file))
    if len(images) > 1 or len(classes) > 1:
        raise ValueError(f"{files[0]}: expected the files of a split to have the same columns and class names")
    return _Split(files, labels, images.pop(), classes.pop())


def _column(wanted: str | None, usual: Sequence[str], key: str, schema: pa.Schema, file: _File) -> str:
    """The column that the setting `key` names; where it is null, the first of the usual ones that the file has."""
    for name in usual if wanted is None else [wanted]:
        if (count := schema.names.count(name)) == 1:
            return name
        if count:
            raise ValueError(f"{file}: expected one column {name!r} (setting `{key}`), got {count}")
    expected = f"column {wanted!r}" if wanted is not None else f"one of the columns {', '.join(usual)}"
    raise ValueError(f"{file}: expected {expected} (setting `{key}`), got: {', '.join(schema.names)}")


def class_names(schema: pa.Schema, label: str, file: object) -> tuple[str, ...] | None:
    """The class names of a label column; None where the metadata has none."""
    try:
        metadata: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON under the metadata key huggingface, got {error}") from None
    for key in ("info", "features", label, "names"):
        metadata = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(metadata, list):
        return None
    for name in metadata:
        if not isinstance(name, str):
            raise ValueError(f"{file}: expected names of classes as text, got {name!r}")
    return tuple(metadata)


def _classes(splits: dict[str, _Split]) -> tuple[str, ...]:
    """The class names of the data set; ValueError where the splits differ in them or a label is out of range."""
    train, test = (splits[split] for split in SPLITS)
    if train.classes != test.classes:
        raise ValueError(f"{test.files[0]}: expected the classes of train, {train.classes}, got {test.classes}")
    numbers = torch.cat(train.labels + test.labels)
    if train.classes is None and len(numbers) and int(numbers.max()) >= len(numbers):
        raise ValueError(
            f"{train.files[0]}: expected labels 0, 1, 2, ... with images of each, got {int(numbers.max())} among "
            f"{len(numbers)} images"
        )
    classes = train.classes or tuple(map(str, range(int(numbers.max()) + 1 if len(numbers) else 0)))
    for split in (train, test):
        for file, labels in zip(split.files, split.labels, strict=True):
            check_labels(labels, classes, str(file))
    return classes


def _read(split: _Split, name: str, classes: tuple[str, ...], settings: ParquetSettings) -> Images:
    """The chosen images of a split, each decoded straight to its place in the result."""
    labels, random = torch.cat(split.labels), generator(settings.seed, SPLITS.index(name))
    limit, origin = getattr(settings.limit, name), f"{name}: {getattr(settings, name)}"
    order = class_balanced_order(labels, classes, limit, random, origin)
    places = torch.full((len(labels),), -1)  # -1: not chosen
    places[order] = torch.arange(len(order))
    encoded = _encoded(split, places.tolist())
    pixels = decode_all(encoded, len(order), settings.channels, settings.size, f"decode {name}")
    return Images(pixels, labels[order], classes)


def _encoded(split: _Split, places: list[int]) -> Iterator[tuple[int, bytes, str]]:
    """(place, encoded image, file and row) of each row with a place >= 0, read in small batches."""
    start = 0
    for file, labels in zip(split.files, split.labels, strict=True):
        row = 0
        with _readable(file), pq.ParquetFile(file.path, page_checksum_verification=True) as source:
            for batch in source.iter_batches(READ_BATCH_SIZE, columns=[split.image]):
                column = batch.column(0)
                if pa.types.is_dictionary(column.type):
                    column = column.dictionary_decode()
                values = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
                for encoded in values:
                    if (place := places[start + row]) >= 0:
                        if not encoded.is_valid:
                            raise ValueError(f"{file}: row {row}: expected an encoded image, got null")
                        yield place, encoded.as_py(), f"{file}: row {row}"
                    row += 1
        if row != len(labels):  # a damaged header: its page is left out, and later images move up
            raise ValueError(f"{file}: expected {len(labels)} images, one for each label, got {row}")
        start += len(labels)


def _check_images(column: pa.Field, file: _File) -> None:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not any(is_bytes(kind) for is_bytes in _BYTES):
        raise ValueError(
            f"{file}: column {column.name}: expected encoded images, as bytes or a struct with a field bytes, "
            f"got {column.type}"
        )


@contextmanager
def _readable(file: _File) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:  # MemoryError: a damaged length
        raise ValueError(f"{file}: expected a Parquet file, got a damaged or other one ({error})") from None
