"""Parquet in the layout in which the Hugging Face hub publishes image data sets.

A column of encoded images, as bytes or as a struct with a field `bytes`, and a column of integer labels; the names of
the classes stand in the schema's metadata under the key `huggingface`.
"""

import http.client
import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from spectroscope.dataset.decode import stack
from spectroscope.dataset.splits import SPLITS, Count, Dataset, Limit, Seed, check_labels, digest, draw, missing
from spectroscope.pipeline.io import Images
from spectroscope.pipeline.machine import generator
from spectroscope.pipeline.params import Settings
from spectroscope.pipeline.progress import track

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "coarse_label")
ROWS_AT_ONCE = 256
SECONDS_TO_WAIT = 60


class ParquetSettings(Settings):
    """`train` and `test` are each a file, a glob, a folder (its files `train*.parquet`, `test*.parquet`) or a URL, in
    which `{00000..00004}` stands for five files. `image` and `label` are columns, null finds them. `size` null keeps
    the images as they are.
    """

    name: Literal["parquet"]
    train: str
    test: str
    image: str | None
    label: str | None
    channels: Literal[1, 3]
    size: Count | None
    limit: Limit
    seed: Seed


@dataclass(frozen=True)
class _Split:
    """The files of a split, the labels (n,) in each, the image column, and the class names the schema gives."""

    files: list[Path]
    labels: list[Tensor]
    image: str
    classes: tuple[str, ...] | None


def load(settings: ParquetSettings) -> Dataset:
    """Images (N, channels, H, W); classes are named 0..K-1 where the files do not name them.

    Where a set has several label columns the first of LABEL_COLUMNS is taken. ValueError naming the file, column or
    row that is missing, damaged or out of range. Files behind a URL are kept only while they are read.
    """
    named = {split: _files(getattr(settings, split), split) for split in SPLITS}
    both = set(named["train"]) & set(named["test"])
    if both:
        raise ValueError(f"{min(both)}: expected a file of one split, got it in train and test")
    with TemporaryDirectory() as folder:
        splits = {split: _open(_fetched(named[split], Path(folder) / split), settings) for split in SPLITS}
        classes = _classes(splits)
        train, test = (_read(splits[split], split, classes, settings) for split in SPLITS)
        return Dataset(train, test, digest(splits["train"].files + splits["test"].files))


def _files(pattern: str, split: str) -> list[str]:
    """The URLs or paths that a setting stands for."""
    if "://" in pattern:
        return _expand(pattern)
    path = Path(pattern)
    if path.is_dir():
        paths = sorted(path.glob(f"{split}*.parquet"))
    else:
        inside = path.relative_to(path.anchor)
        paths = [path] if path.is_file() else sorted(Path(path.anchor).glob(str(inside)))
    if not paths:
        what = f"files {split}*.parquet in this folder" if path.is_dir() else "Parquet files"
        raise ValueError(f"{split}: {pattern}: expected {what}, {missing(pattern)}")
    return [str(each.resolve()) for each in paths]


def _expand(url: str) -> list[str]:
    """A URL with a range {003..011} as one URL for each number, others as they are."""
    span = re.search(r"\{(\d+)\.\.(\d+)\}", url)
    if span is None:
        return [url]
    first, last = span.groups()
    numbers = range(int(first), int(last) + 1)
    if not numbers:
        raise ValueError(f"{url}: expected a range that rises, got {span.group()}")
    return [f"{url[: span.start()]}{number:0{len(first)}d}{url[span.end() :]}" for number in numbers]


def _fetched(names: list[str], folder: Path) -> list[Path]:
    """Paths as they are, URLs as copies under `folder`."""
    return [_fetch(name, folder / str(number)) if "://" in name else Path(name) for number, name in enumerate(names)]


def _fetch(url: str, folder: Path) -> Path:
    """A copy of what is behind a URL, under its own name."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url}: expected a path or a URL that begins with https:// or http://")
    folder.mkdir(parents=True)
    path = folder / url.split("?")[0].rsplit("/", 1)[1]
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_TO_WAIT) as response, path.open("wb") as file:
            for block in track(iter(lambda: response.read(1 << 20), b""), f"MiB of {path.name}"):
                file.write(block)
            expected, got = response.headers["Content-Length"], file.tell()
    except (OSError, http.client.HTTPException) as error:
        raise ValueError(f"{url}: expected a file to download, got none ({error})") from None
    if expected is not None and int(expected) != got:
        raise ValueError(f"{url}: expected {expected} bytes, got {got}: the connection broke")
    return path


def _open(files: list[Path], settings: ParquetSettings) -> _Split:
    """What can be known of a split before an image is decoded."""
    labels, images, classes = [], set(), set()
    for file in files:
        with _readable(file), pq.ParquetFile(file, page_checksum_verification=True) as source:
            schema = source.schema_arrow
            image = _column(settings.image, IMAGE_COLUMNS, "image", schema, file)
            label = _column(settings.label, LABEL_COLUMNS, "label", schema, file)
            _check_images(schema.field(image), file)
            column = source.read([label])[label]
        if not pa.types.is_integer(column.type):
            raise ValueError(f"{file}: column {label}: expected integer labels, got {column.type}")
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise ValueError(f"{file}: row {row}: expected a label in column {label}, got null")
        labels.append(torch.tensor(column.to_numpy().astype("int64")))
        images.add(image)
        classes.add(_names(schema, label, file))
    if len(images) > 1 or len(classes) > 1:
        raise ValueError(f"{files[0]}: expected the files of a split to have the same columns and class names")
    return _Split(files, labels, images.pop(), classes.pop())


def _column(wanted: str | None, usual: Sequence[str], key: str, schema: pa.Schema, file: Path) -> str:
    """The column set under `key`, or the first of the usual ones that is there."""
    for name in usual if wanted is None else [wanted]:
        if name in schema.names:
            return name
    expected = f"column {wanted!r}" if wanted is not None else f"one of the columns {', '.join(usual)}"
    raise ValueError(f"{file}: expected {expected} (setting `{key}`), got: {', '.join(schema.names)}")


def _names(schema: pa.Schema, label: str, file: Path) -> tuple[str, ...] | None:
    """The class names of a label column, None where the metadata gives none."""
    about: Any = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        about = json.loads(about)
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON under the metadata key huggingface, got {error}") from None
    for key in ("info", "features", label, "names"):
        about = about.get(key) if isinstance(about, dict) else None
    return tuple(about) if isinstance(about, list) else None


def _classes(splits: dict[str, _Split]) -> tuple[str, ...]:
    """The class names of a set, the same for both splits, and labels that fit them."""
    train, test = (splits[split] for split in SPLITS)
    if train.classes != test.classes:
        raise ValueError(f"{test.files[0]}: expected the classes of train, {train.classes}, got {test.classes}")
    numbers = torch.cat(train.labels + test.labels)
    classes = train.classes or tuple(map(str, range(int(numbers.max()) + 1 if len(numbers) else 0)))
    for split in (train, test):
        for file, labels in zip(split.files, split.labels, strict=True):
            check_labels(labels, classes, str(file))
    return classes


def _read(split: _Split, name: str, classes: tuple[str, ...], settings: ParquetSettings) -> Images:
    """The images drawn from a split, decoded straight to their places."""
    labels, seeded = torch.cat(split.labels), generator(settings.seed, SPLITS.index(name))
    order = draw(labels, classes, getattr(settings.limit, name), seeded, f"{name}: {getattr(settings, name)}")
    places = torch.full((len(labels),), -1)
    places[order] = torch.arange(len(order))
    items = _encoded(split, places.tolist())
    pixels = stack(items, len(order), settings.channels, settings.size, f"decode {name}")
    return Images(pixels, labels[order], classes)


def _encoded(split: _Split, places: list[int]) -> Iterator[tuple[int, bytes, str]]:
    """(place, encoded image, file and row) of each row that has a place >= 0, read in small batches."""
    start = 0
    for file, labels in zip(split.files, split.labels, strict=True):
        row = 0
        with _readable(file), pq.ParquetFile(file, page_checksum_verification=True) as source:
            batches = source.iter_batches(ROWS_AT_ONCE, columns=[split.image])
            while batch := next(batches, None):
                column = batch.column(0)
                values = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
                for encoded in values:
                    if (place := places[start + row]) >= 0:
                        if not encoded.is_valid:
                            raise ValueError(f"{file}: row {row}: expected an encoded image, got null")
                        yield place, encoded.as_py(), f"{file}: row {row}"
                    row += 1
        start += len(labels)


def _check_images(column: pa.Field, file: Path) -> None:
    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise ValueError(
            f"{file}: column {column.name}: expected encoded images, as bytes or a struct with a field bytes, "
            f"got {column.type}"
        )


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: expected a Parquet file, got a damaged or other one ({error})") from None
