"""Parquet files as the Hugging Face hub publishes them; the real CIFAR-10 where SPECTROSCOPE_IMAGES names a folder."""

import hashlib
import json
import os
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from dataset_cases import NAMES, NO_LIMIT, as_pixels, assert_holds, encode, noise, rows_of, settings
from PIL import Image

from spectroscope.dataset import splits
from spectroscope.dataset.registry import load

REAL = os.environ.get("SPECTROSCOPE_IMAGES")


def write_parquet(path, images, labels, encoded=None, image="img", label="label", names=NAMES, metadata=None):
    """A file as the hub publishes it; `encoded` stands in for the images' bytes."""
    cells = [{"bytes": content, "path": None} for content in encoded or [encode(image) for image in images]]
    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(cells, cell), label: pa.array(labels)})
    if metadata is None and names:
        features = {label: {"names": names, "_type": "ClassLabel"}, image: {"_type": "Image"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=4)


def parquet_settings(folder, **change):
    usual = {"name": "parquet", "train": str(folder), "test": str(folder), "image": None, "label": None}
    return settings(**usual | {"channels": 3, "size": None, "limit": NO_LIMIT, "seed": 0} | change)


@pytest.fixture
def hub(tmp_path):
    """A folder with one file for each split, and the images in it: 12 and 6, labels 0 1 2 0 1 2 ..."""
    images = {"train": noise(0, 12), "test": noise(1, 6)}
    for split, pixels in images.items():
        write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", pixels, [i % 3 for i in range(len(pixels))])
    return tmp_path, images


def test_parquet_gives_back_the_pixels_labels_and_names_that_were_written(hub):
    folder, images = hub
    dataset = load(parquet_settings(folder))
    assert dataset.train.classes == ("ant", "bee", "cat")
    assert_holds(dataset.train, images["train"], [0, 1, 2] * 4)
    assert_holds(dataset.test, images["test"], [0, 1, 2] * 2)
    files = [folder / f"{split}-00000-of-00001.parquet" for split in splits.SPLITS]
    assert dataset.digest == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_parquet_limits_are_class_balanced_and_follow_the_seed(hub):
    folder, _ = hub
    limited = [load(parquet_settings(folder, limit={"train": 6, "test": 3}, seed=seed)) for seed in (0, 0, 1)]
    assert torch.bincount(limited[0].train.labels).tolist() == [2, 2, 2]
    assert torch.bincount(limited[0].test.labels).tolist() == [1, 1, 1]
    assert rows_of(limited[0].train) == rows_of(limited[1].train) != rows_of(limited[2].train)
    assert rows_of(load(parquet_settings(folder)).train.head(6)) == rows_of(limited[0].train)


@pytest.mark.parametrize(("image", "label"), [("img", "label"), ("image", "labels"), ("image", "fine_label")])
def test_the_usual_columns_are_found(tmp_path, image, label):
    for split in splits.SPLITS:
        write_parquet(tmp_path / f"{split}.parquet", noise(len(split), 3), [2, 1, 0], image=image, label=label)
    assert load(parquet_settings(tmp_path)).train.classes == ("ant", "bee", "cat")


def test_columns_of_other_names_are_set_and_plain_bytes_are_read(tmp_path):
    for split in splits.SPLITS:
        encoded = [encode(image) for image in noise(len(split), 3)]
        table = pa.table({"photo": encoded, "kind": pa.array([2, 1, 0], pa.uint8())})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    dataset = load(parquet_settings(tmp_path, image="photo", label="kind"))
    assert_holds(dataset.train, noise(5, 3), [2, 1, 0])
    assert dataset.train.classes == ("0", "1", "2")


def test_one_channel_is_luminance_and_three_channels_take_grey_images_too(tmp_path):
    colour = noise(0, 3)
    encoded = [encode(colour[0]), encode(colour[1], mode="L"), encode(colour[2], mode="RGBA")]
    write_parquet(tmp_path / "train.parquet", colour, [0, 1, 2], encoded)
    write_parquet(tmp_path / "test.parquet", noise(1, 3), [0, 1, 2])
    rgb = load(parquet_settings(tmp_path)).train
    grey = load(parquet_settings(tmp_path, channels=1)).train
    assert grey.pixels.shape == (3, 1, 8, 8)
    by_label = dict(zip(rgb.labels.tolist(), rgb.pixels, strict=True))
    assert torch.equal(by_label[0], as_pixels(colour[0]))
    assert torch.equal(by_label[1][0], by_label[1][1]) and torch.equal(by_label[1][0], by_label[1][2])
    assert torch.equal(by_label[2], as_pixels(colour[2]))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    one = grey.pixels[grey.labels == 0][0]
    torch.testing.assert_close(one.float(), (weights * by_label[0]).sum(0, keepdim=True), atol=1, rtol=0)


def test_images_of_several_sizes_need_a_size(tmp_path):
    encoded = [encode(noise(0, 1, 3, 8, 8)[0]), encode(noise(1, 1, 3, 10, 16)[0]), encode(noise(2, 1, 3, 5, 4)[0])]
    write_parquet(tmp_path / "train.parquet", None, [0, 1, 2], encoded)
    write_parquet(tmp_path / "test.parquet", noise(3, 3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"train.parquet: row 1: expected 8x8 pixels .* got 10x16 .*`size`"):
        load(parquet_settings(tmp_path))
    assert load(parquet_settings(tmp_path, size=6)).train.pixels.shape == (3, 3, 6, 6)


def test_truncated_parquet_is_refused(hub):
    folder, _ = hub
    file = folder / "test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"test-00000-of-00001.parquet: expected a Parquet file, got a damaged"):
        load(parquet_settings(folder))


def test_parquet_damaged_in_the_middle_is_refused(hub):
    folder, _ = hub
    file = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    pq.write_table(table, file, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-00000-of-00001.parquet: expected a Parquet file, got a damaged"):
        load(parquet_settings(folder))


def with_cell(cells, index, value):
    return [value if i == index else cell for i, cell in enumerate(cells)]


GOOD = [encode(image) for image in noise(3, 6)]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"encoded": with_cell(GOOD, 4, b"no image")}, r"row 4: expected an image of 8 bits a channel, got 8 bytes"),
        ({"encoded": with_cell(GOOD, 4, GOOD[4][:-40])}, r"row 4: expected an image of 8 bits"),
        ({"encoded": with_cell(GOOD, 5, b"")}, r"row 5: expected an image of 8 bits a channel, got 0 bytes"),
        ({"encoded": with_cell(GOOD, 1, None)}, r"row 1: expected an encoded image, got null"),
        ({"encoded": with_cell(GOOD, 2, encode(noise(0, 1, 1)[0].astype(np.uint16)))}, r"row 2: .*\(mode I;16\)"),
        ({"labels": [0, 1, 2, 0, None, 2]}, r"row 4: expected a label in column label, got null"),
        ({"labels": [0, 1, 2, 0, 3, 2]}, r"row 4: expected a label 0\.\.2, got 3"),
        ({"labels": [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]}, r"column label: expected integer labels, got double"),
        ({"labels": [0, 0, 2, 0, 2, 2]}, r"expected images of each of 3 classes, got none of bee"),
        ({"names": ["ant", "bee", "dog"]}, r"expected the classes of train.*'cat'.*got .*'dog'"),
        ({"image": "picture"}, r"expected one of the columns image, img \(setting `image`\), got: picture, label"),
        ({"label": "kind"}, r"expected one of the columns label, labels, .* got: img, kind"),
        ({"metadata": {"huggingface": "{"}}, r"expected JSON under the metadata key huggingface"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_a_parquet_file_with_a_fault_is_refused(hub, written, message):
    folder, _ = hub
    write_parquet(folder / "test.parquet", **{"images": None, "labels": [0, 1, 2] * 2, "encoded": GOOD} | written)
    with pytest.raises(ValueError, match=message) as caught:
        load(parquet_settings(folder, test=str(folder / "test.parquet")))
    assert "test.parquet" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "picture"}, r"expected column 'picture' \(setting `image`\), got: img, label"),
        ({"image": "label"}, r"column label: expected encoded images, .* got int64"),
        ({"limit": {"train": 13, "test": None}}, r"train: .*: expected a limit from 3 .* to 12 .*, got 13"),
        ({"test": "{folder}/train-00000-of-00001.parquet"}, r"expected a file of one split, got it in train and test"),
    ],
)
def test_parquet_settings_that_do_not_fit_the_files_are_refused(hub, change, message):
    folder, _ = hub
    if "test" in change:
        change = {"test": change["test"].format(folder=folder)}
    with pytest.raises(ValueError, match=message):
        load(parquet_settings(folder, **change))


@pytest.mark.skipif(REAL is None, reason="SPECTROSCOPE_IMAGES is not set")
def test_real_cifar10_is_read_from_parquet():
    dataset = load(parquet_settings(Path(REAL) / "cifar10-exact", limit={"train": 500, "test": None}))
    assert dataset.train.classes[:3] == ("airplane", "automobile", "bird")
    assert dataset.train.pixels.shape == (500, 3, 32, 32) and dataset.test.pixels.shape == (1017, 3, 32, 32)
    assert torch.bincount(dataset.train.labels).tolist() == [50] * 10
    table = pq.read_table(Path(REAL) / "cifar10-exact" / "test-00000-of-00001.parquet").to_pydict()
    assert torch.bincount(dataset.test.labels).tolist() == np.bincount(table["label"]).tolist()
    first = np.array(Image.open(BytesIO(table["img"][0]["bytes"])))
    assert as_pixels(first).numpy().tobytes() in rows_of(dataset.test)
    means = dataset.train.pixels.double().div(255).mean(dim=(0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.02, rtol=0)


@pytest.mark.parametrize("make", [shutil.copy, os.link, os.symlink], ids=["copy", "hard link", "link"])
def test_one_file_is_not_train_and_test(hub, make):
    folder, _ = hub
    (folder / "test-00000-of-00001.parquet").unlink()
    make(folder / "train-00000-of-00001.parquet", folder / "test-a.parquet")
    with pytest.raises(ValueError, match="expected a file of one split, got it in train and test"):
        load(parquet_settings(folder, limit={"train": 3, "test": 3}))


def test_the_same_images_in_another_file_are_not_train_and_test(hub):
    folder, images = hub
    write_parquet(folder / "test-00000-of-00001.parquet", images["train"][:6][::-1], [2, 1, 0] * 2)
    with pytest.raises(ValueError, match="expected test images that are not training images, got 6 of 6 that are"):
        load(parquet_settings(folder))


def test_a_folder_and_a_file_may_have_brackets_and_braces_in_their_names(hub):
    folder, images = hub
    odd = folder / "birds [v1] {0..1}?"
    odd.mkdir()
    for file in folder.glob("*.parquet"):
        file.rename(odd / file.name)
    for train in (odd, odd / "train-*.parquet", odd / "train-00000-of-00001.parquet"):
        assert_holds(load(parquet_settings(odd, train=str(train))).train, images["train"], [0, 1, 2] * 4)


CELLS = [encode(image) for image in noise(1, 6)]
KINDS = {
    "view": pa.array(CELLS, pa.binary_view()),
    "large": pa.array(CELLS, pa.large_binary()),
    "dictionary": pa.array(CELLS).dictionary_encode(),
    "struct of views": pa.StructArray.from_arrays([pa.array(CELLS, pa.binary_view())], ["bytes"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_read_from_every_kind_of_column_of_bytes(hub, kind):
    folder, _ = hub
    labels = pa.array([0, 1, 2] * 2).dictionary_encode()
    table = pa.table({"img": KINDS[kind], "label": labels})
    metadata = pq.read_schema(folder / "train-00000-of-00001.parquet").metadata
    pq.write_table(table.replace_schema_metadata(metadata), folder / "test-00000-of-00001.parquet")
    assert_holds(load(parquet_settings(folder)).test, noise(1, 6), [0, 1, 2] * 2)


@pytest.mark.parametrize("label", [10**12, 2**62])
def test_labels_far_beyond_the_number_of_images_are_refused_at_once(hub, label):
    folder, _ = hub
    for split, count in (("train", 12), ("test", 6)):
        labels = [0, 1, label] * (count // 3)
        write_parquet(folder / f"{split}-00000-of-00001.parquet", noise(count, count), labels, names=None)
    with pytest.raises(ValueError, match=rf"expected labels 0, 1, 2, \.\.\. with images of each, got {label} among 18"):
        load(parquet_settings(folder))


def test_a_column_twice_is_refused(hub):
    folder, _ = hub
    table = pq.read_table(folder / "train-00000-of-00001.parquet")
    pq.write_table(table.append_column("img", table["img"]), folder / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"expected one column 'img' \(setting `image`\), got 2"):
        load(parquet_settings(folder))


def test_a_page_that_a_damaged_header_takes_away_moves_no_image_to_another_label(hub):
    """A header has no checksum, and pages of an unknown kind are left out without a word."""
    folder, _ = hub
    file = folder / "train-00000-of-00001.parquet"
    good, whole, errors = file.read_bytes(), load(parquet_settings(folder)).train, set()
    group = pq.ParquetFile(file).metadata.row_group(0)
    for column in map(group.column, range(group.num_columns)):
        place = (column.dictionary_page_offset or column.data_page_offset) + 1  # of the kind of the page
        for bit in range(8):
            file.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
            try:
                found = load(parquet_settings(folder)).train
            except ValueError as error:
                errors.add(re.sub(r".*parquet: (expected \d* ?)", r"\1", str(error))[:40])
            else:
                assert rows_of(found) == rows_of(whole) and torch.equal(found.labels, whole.labels)
    assert {"expected 12 images, one for each label, ", "expected 12 labels, got 8"} <= errors


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["ant", None, "cat"], "expected names of classes as text, got None"),
        (["ant", ["bee"], "cat"], r"expected names of classes as text, got \['bee'\]"),
        (["ant", "bee", "bee"], "expected a name of its own for each class, got 'bee' twice"),
        (["ant", "", "cat"], "expected a name of its own for each class, got ''"),
        (["ant", "\ud800", "cat"], r"expected names of classes in UTF-8, got '\\ud800'"),
    ],
)
def test_class_names_that_are_no_names_are_refused(hub, names, message):
    folder, images = hub
    for split, pixels in images.items():
        labels = [i % 3 for i in range(len(pixels))]
        write_parquet(folder / f"{split}-00000-of-00001.parquet", pixels, labels, names=names)
    with pytest.raises(ValueError, match=message):
        load(parquet_settings(folder))
