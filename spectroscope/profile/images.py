"""Images to profile a network on: a folder, Parquet, arrays in a file, or a data set by name; test images only.

Labels are read where there are any. `choose` finds the images and picks some of them; `pixels.decode` reads them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from spectroscope.dataset import registry
from spectroscope.dataset.parquet import IMAGE_COLUMNS, LABEL_COLUMNS, class_names
from spectroscope.dataset.splits import class_balanced_order
from spectroscope.pipeline import machine, params

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "val", "validation")
WORDNET_ID = re.compile(r"n\d{8}")
TRAINING_PATCHES = 100  # of each bundled photograph, in a study of them
SETS = {"cifar10": 10, "cifar100": 100, "svhn": 10, "stl10": 10}  # of torchvision, with their numbers of classes


@dataclass(frozen=True)
class Chosen:
    """n images, encoded or as an array (n, ...) of any layout, their labels (n,) and names of classes, or None.

    total: images there were. notes: what a reader should know of the choice.
    """

    name: str
    kind: str
    encoded: list[tuple[bytes, str]] | None
    array: Tensor | None
    labels: Tensor | None
    classes: tuple[str, ...] | None
    total: int
    notes: list[str] = field(default_factory=list)
    dataset: dict[str, Any] | None = None  # its section of a study: whole, or name, test and, where known, train


def choose(spec: str, n: int, seed: int) -> Chosen:
    """At most n test images of what `spec` names, the classes in turn; ValueError where there are none."""
    path, (name, _, root) = Path(spec), spec.partition(":")
    if name == "photos" or name in SETS:
        return _data_set(name, root, n, seed)
    if path.is_dir():
        parquet = _test_files(path)
        return _parquet(parquet, spec, n, seed) if parquet else _folder(path, n, seed)
    if not path.is_file():
        raise ValueError(
            f"{spec}: expected a folder, a .parquet, .npz, .npy or .pt file, or one of photos, {', '.join(SETS)}, "
            f"found nothing of that name in {Path.cwd()}"
        )
    if path.suffix == ".parquet":
        return _parquet([path], spec, n, seed)
    if path.suffix in ARRAYS:
        return _arrays(path, n, seed)
    raise ValueError(f"{spec}: expected a .parquet, .npz, .npy or .pt file, got {path.suffix or path.name!r}")


def _picked(labels: Tensor | None, total: int, n: int, seed: int, origin: str) -> Tensor:
    """Row numbers of at most n images, class-balanced where there are labels."""
    random = machine.generator(seed)
    if labels is None:
        return torch.randperm(total, generator=random)[:n]
    present, own = labels.unique(return_inverse=True)
    if len(present) < 2:
        raise ValueError(
            f"{origin}: expected images of at least two classes, got those of one; without folders of classes, images "
            "are profiled by the network's own prediction"
        )
    return class_balanced_order(own, list(map(str, present.tolist())), None, random, origin)[:n]


def _folder(path: Path, n: int, seed: int) -> Chosen:
    """A folder of images: flat, one folder for each class, or with such a folder for testing in it."""
    notes, root = [], path
    inside = {each.name.lower(): each for each in path.iterdir() if each.is_dir()}
    split = next((inside[name] for name in TEST_FOLDERS if name in inside and "train" in inside), None)
    if split is not None:
        root = split
        notes.append(f"Of {path.name}, the folder {split.name} is read: images that networks are trained on say less.")
    folders = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    by_class = [(file, place) for place, each in enumerate(folders) for file in _images_in(each)]
    flat = [] if by_class else _images_in(root)
    files = [file for file, _ in by_class] or flat
    if not files:
        raise ValueError(
            f"{path}: expected images ({', '.join(ENDINGS)}) in it or in one folder for each class, found none"
        )
    labels, classes = None, None
    if by_class:
        labels, classes = torch.tensor([place for _, place in by_class]), tuple(each.name for each in folders)
    elif all(WORDNET_ID.match(file.name) for file in files):
        names = [WORDNET_ID.match(file.name).group() for file in files]  # type: ignore[union-attr]
        classes = tuple(sorted(set(names)))
        labels = torch.tensor([classes.index(name) for name in names])
        notes.append("Labels are the WordNet ids that the names of the files begin with.")
    rows = _picked(labels, len(files), n, seed, str(path)).tolist()
    encoded = [(files[row].read_bytes(), str(files[row])) for row in rows]
    dataset = {"name": "imagefolder", "test": str(root.absolute())} if by_class else None
    if dataset is not None and split is not None:
        dataset["train"] = str(inside["train"].absolute())
    own = None if labels is None else labels[rows]
    return Chosen(path.name, "folder of images", encoded, None, own, classes, len(files), notes, dataset)


def _images_in(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in ENDINGS and not f.name.startswith("."))


def _test_files(folder: Path) -> list[Path]:
    """The Parquet files of the test split; all of them where their names tell no split."""
    files = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
    for split in TEST_FOLDERS:
        if own := [file for file in files if file.name.startswith(split)]:
            return own
    if files and all(file.name.startswith("train") for file in files):
        raise ValueError(
            f"{folder}: expected test images, got files of the training split alone; name a file to use it"
        )
    return files


def _parquet(files: list[Path], spec: str, n: int, seed: int) -> Chosen:
    """Encoded images in Parquet, in the layout of the Hugging Face hub."""
    labels, names = [], None
    for file in files:
        try:
            schema = pq.read_schema(file)
            image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
            label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
            if image is None:
                raise ValueError(f"expected a column {' or '.join(IMAGE_COLUMNS)}, got {', '.join(schema.names)}")
            if label is not None:
                labels.append(torch.tensor(pq.read_table(file, columns=[label])[label].to_numpy().astype("int64")))
                names = class_names(schema, label, file)
            kind = schema.field(image).type
            if not (pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
                raise ValueError(f"expected encoded images in column {image}, got {kind}")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(f"{file}: expected a Parquet file of images: {error}") from None
    whole = torch.cat(labels) if len(labels) == len(files) else None
    total = sum(pq.read_metadata(file).num_rows for file in files)
    if not total:
        raise ValueError(f"{spec}: expected images, found none")
    rows = _picked(whole, total, n, seed, spec)
    wanted, found, start = set(rows.tolist()), {}, 0
    for file in files:
        row = 0
        for batch in pq.ParquetFile(file).iter_batches(256, columns=[image]):
            column = batch.column(0)
            values = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
            for place in range(len(values)):
                if start + row in wanted:
                    found[start + row] = (values[place].as_py() or b"", f"{file}: row {row}")
                row += 1
        start += row
    if names is None and whole is not None:
        names = tuple(map(str, range(int(whole.max()) + 1)))
    own = None if whole is None else whole[rows]
    notes = ["These are training images."] if files[0].name.startswith("train") else []
    dataset = _parquet_set(files)
    encoded = [found[row] for row in rows.tolist()]
    return Chosen(Path(spec).name, "Parquet", encoded, None, own, names, total, notes, dataset)


def _parquet_set(files: list[Path]) -> dict[str, Any] | None:
    """Settings of Parquet files of one split: the file, or all whose names begin with its; beside it training files."""
    folder, name = files[0].absolute().parent, files[0].name
    split = next((split for split in TEST_FOLDERS if name.startswith(split)), None)
    train = {"train": str(folder / "train*.parquet")} if split and any(folder.glob("train*.parquet")) else {}
    if len(files) > 1 and split is None:
        return None
    return {"name": "parquet", **train, "test": str(folder / (f"{split}*.parquet" if len(files) > 1 else name))}


def _arrays(path: Path, n: int, seed: int) -> Chosen:
    """Pixels in a .npz, .npy or .pt file: the array of three or four axes, and the one of labels where there is one."""
    arrays = ARRAYS[path.suffix](path)
    pixels = next((array for array in arrays if array.ndim == 4), None)
    pixels = next((array for array in arrays if array.ndim == 3), None) if pixels is None else pixels
    if pixels is None or not len(pixels):
        found = ", ".join(str(tuple(array.shape)) for array in arrays) or "nothing"
        raise ValueError(f"{path}: expected an array of images (N, C, H, W) or (N, H, W, C), got {found}")
    labels = next((a for a in arrays if a.squeeze().shape == pixels.shape[:1] and not a.is_floating_point()), None)
    labels = None if labels is None else labels.reshape(-1).long()
    rows = _picked(labels, len(pixels), n, seed, str(path))
    classes = None if labels is None else tuple(map(str, range(int(labels.max()) + 1)))
    own = None if labels is None else labels[rows]
    return Chosen(path.name, "array of pixels", None, pixels[rows], own, classes, len(pixels))


def _npz(path: Path) -> list[Tensor]:
    try:
        content = np.load(path, allow_pickle=False)
        arrays = [content[name] for name in content.files] if hasattr(content, "files") else [content]
        return [torch.from_numpy(array) for array in arrays if array.dtype.kind in "uifb"]
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected arrays of numbers, got: {error}") from None


def _pt(path: Path) -> list[Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: expected tensors that load without running code, got: {reason}") from None
    values = (
        content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else [content]
    )
    return [value for value in values if isinstance(value, Tensor)]


ARRAYS: dict[str, Callable[[Path], list[Tensor]]] = {".npz": _npz, ".npy": _npz, ".pt": _pt, ".pth": _pt}


def photographs(size: int, train: int, test: int, seed: int) -> dict[str, Any]:
    """Settings of patches of the bundled photographs."""
    names = ["astronaut", "brick", "camera", "coffee", "coins", "grass", "gravel", "rocket"]
    tiles = {"size": size, "tile": 64, "gap": 4, "test_share": 0.25, "min_std_255": 8.0}
    return {"name": "photos", "photographs": names, **tiles, "per_class": {"train": train, "test": test}, "seed": seed}


def _data_set(name: str, root: str, n: int, seed: int) -> Chosen:
    """Test images of a data set: `photos`, bundled; `cifar10:FOLDER` and the like, downloaded without a folder."""
    if name == "photos":
        settings = photographs(32, 1, -(-n // 8), seed)
        study = photographs(32, TRAINING_PATCHES, -(-n // 8), seed)
    else:
        folder = root or str(Path.home() / ".cache" / "spectroscope" / name)
        limit = {"train": SETS[name], "test": max(n, SETS[name])}
        settings = {"name": name, "root": folder, "download": not root, "limit": limit, "seed": seed}
        whole = {"train": None, "test": None}
        study = settings | {"root": str(Path(folder).absolute()), "download": False, "limit": whole}
    loaded = registry.load(params.validate(settings, registry.DatasetSettings, "", Path(name)))
    test = loaded.test
    own = (test.pixels[:n], test.labels[:n], test.classes)
    return Chosen(name, "data set", None, *own, len(test), dataset=study)
