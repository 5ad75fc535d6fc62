"""Every source on images made here; the real CIFAR-10 where SPECTROSCOPE_IMAGES names a folder that has it."""

import hashlib
import http.server
import json
import os
import pickle
import threading
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from spectroscope.dataset import decode, photos, splits
from spectroscope.dataset.sources import SOURCES, DatasetSettings, load
from spectroscope.pipeline import io, params
from spectroscope.pipeline.machine import generator

REAL = os.environ.get("SPECTROSCOPE_IMAGES")
NAMES = ["ant", "bee", "cat"]
EVERYTHING = {"train": None, "test": None}


def settings(**values):
    return params.validate(values, DatasetSettings, "dataset")


def noise(seed, count, channels=3, height=8, width=8):
    """Random images (count, H, W, channels) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def encode(image, kind="PNG", mode=None):
    """An image (H, W, C) as the bytes of an image file."""
    buffer = BytesIO()
    picture = Image.fromarray(image.squeeze())
    (picture.convert(mode) if mode else picture).save(buffer, kind)
    return buffer.getvalue()


def as_pixels(image):
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def rows_of(images):
    """Pixels of each image as bytes: what was drawn, in which order."""
    return [image.numpy().tobytes() for image in images.pixels]


# ---- the order of a split


def test_a_draw_goes_round_the_classes_until_each_is_used_up():
    labels = torch.tensor([0] * 5 + [1] * 2 + [2] * 4)
    order = splits.draw(labels, NAMES, None, generator(0), "here")
    assert sorted(order.tolist()) == list(range(11))
    rounds = labels[order].split([3, 3, 2, 2, 1])
    assert [sorted(turn.tolist()) for turn in rounds] == [[0, 1, 2], [0, 1, 2], [0, 2], [0, 2], [0]]


def test_a_limit_is_the_beginning_of_the_whole_draw():
    labels = torch.arange(60) % 3
    whole, some = (splits.draw(labels, NAMES, limit, generator(4), "here") for limit in (None, 10))
    torch.testing.assert_close(some, whole[:10])
    assert sorted(torch.bincount(labels[some]).tolist()) == [3, 3, 4]


def test_a_draw_depends_on_its_seed_alone():
    labels = torch.arange(60) % 3
    one, same, other = (splits.draw(labels, NAMES, None, generator(seed), "here") for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("labels", "limit", "message"),
    [
        ([0, 1, 3, 2], None, r"here: row 2: expected a label 0\.\.2, got 3"),
        ([0, -1, 1, 2], None, r"here: row 1: expected a label 0\.\.2, got -1"),
        ([0, 2, 2], None, r"here: expected images of each of 3 classes, got none of bee"),
        ([], None, r"here: expected images, got none"),
        ([0, 1, 2, 0], 5, r"here: expected a limit from 3 .* to 4 .*, got 5"),
        ([0, 1, 2, 0], 2, r"here: expected a limit from 3 .* to 4 .*, got 2"),
    ],
)
def test_a_split_that_cannot_be_drawn_is_refused(labels, limit, message):
    with pytest.raises(ValueError, match=message):
        splits.draw(torch.tensor(labels, dtype=torch.int64), NAMES, limit, generator(0), "here")


# ---- photographs

PHOTOS = {
    "name": "photos",
    "photographs": ["astronaut", "coins", "moon"],
    "size": 32,
    "tile": 64,
    "gap": 8,
    "test_share": 0.25,
    "min_std_255": 4.0,
    "per_class": {"train": 40, "test": 12},
    "seed": 0,
}


def photograph(name):
    path = Path(photos.files("skimage") / "data" / f"{name}.png")
    return torch.from_numpy(np.array(Image.open(path).convert("L")))


def test_photos_are_balanced_patches_of_three_equal_channels():
    dataset = load(settings(**PHOTOS))
    assert dataset.train.classes == dataset.test.classes == ("astronaut", "coins", "moon")
    for images, count in ((dataset.train, 40), (dataset.test, 12)):
        assert images.pixels.dtype == torch.uint8
        assert images.pixels.shape == (3 * count, 3, 32, 32)
        assert torch.equal(images.pixels[:, 0], images.pixels[:, 1])
        assert torch.equal(images.pixels[:, 0], images.pixels[:, 2])
        for head in (3, 12, 3 * count):
            assert torch.bincount(images.head(head).labels).tolist() == [head // 3] * 3


def test_a_patch_is_a_piece_of_its_photograph_under_its_label():
    dataset = load(settings(**PHOTOS))
    for label, name in enumerate(PHOTOS["photographs"]):
        source = photograph(name)
        windows = source.unfold(0, 32, 1).unfold(1, 32, 1)
        patch = dataset.test.pixels[dataset.test.labels == label][0, 0]
        corners = torch.nonzero(windows[:, :, 0, 0] == patch[0, 0])
        assert any(torch.equal(windows[top, left], patch) for top, left in corners)


@pytest.mark.parametrize("gap", [0, 8, 20])
@pytest.mark.parametrize("name", ["coins", "moon"])
def test_train_and_test_patches_lie_apart_by_the_gap(name, gap):
    chosen = settings(**PHOTOS | {"gap": gap, "per_class": {"train": 300, "test": 80}})
    source = photograph(name)
    spots = photos.positions(source, name, chosen, generator(3))
    assert {split: len(found) for split, found in spots.items()} == {"train": 300, "test": 80}
    covered = {split: torch.zeros(source.shape, dtype=torch.bool) for split in spots}
    for split, reach in (("train", gap), ("test", 0)):
        for top, left in spots[split].tolist():
            covered[split][max(top - reach, 0) : top + 32 + reach, max(left - reach, 0) : left + 32 + reach] = True
    assert covered["train"].any() and covered["test"].any()
    assert not (covered["train"] & covered["test"]).any()


def test_positions_of_a_split_differ():
    spots = photos.positions(photograph("moon"), "moon", settings(**PHOTOS), generator(3))
    assert len(spots["train"].unique(dim=0)) == 40


def test_near_flat_patches_are_left_out():
    chosen = settings(**PHOTOS | {"min_std_255": 12.0})
    dataset = load(chosen)
    for images in (dataset.train, dataset.test):
        assert images.pixels[:, 0].double().flatten(1).std(dim=1, correction=0).min() >= 12
    loose = load(settings(**PHOTOS | {"min_std_255": 0.0})).train
    assert loose.pixels[:, 0].double().flatten(1).std(dim=1, correction=0).min() < 4


def test_the_standard_deviation_of_every_patch_is_the_textbook_one():
    values = torch.from_numpy(noise(0, 1, 1, 20, 15)[0, ..., 0])
    expected = values.double().unfold(0, 6, 1).unfold(1, 6, 1).flatten(2).std(dim=2, correction=0)
    torch.testing.assert_close(photos._std(values, 6), expected)


def test_photos_depend_on_their_seed_and_name_what_they_were_cut_from():
    one, same, other = (load(settings(**PHOTOS | {"seed": seed})) for seed in (5, 5, 6))
    assert torch.equal(one.train.pixels, same.train.pixels) and torch.equal(one.test.pixels, same.test.pixels)
    assert not torch.equal(one.train.pixels, other.train.pixels)
    files = [(photos.files("skimage") / "data" / f"{name}.png").read_bytes() for name in PHOTOS["photographs"]]
    assert one.digest == other.digest == hashlib.sha256(b"".join(files)).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photographs": ["coins", "mona_lisa"]}, r"photograph 'mona_lisa' does not come with.*astronaut, brick"),
        ({"photographs": ["coins", "coins"]}, r"expected photographs that differ, got \['coins', 'coins'\]"),
        ({"tile": 16}, r"expected tile >= size = 32, got 16"),
        ({"per_class": {"train": 10, "test": 100_000}}, r"photograph astronaut: expected 100000 test patches.*got \d+"),
        ({"min_std_255": 200.0}, r"photograph astronaut: expected 40 train patches.*>= 200, got 0"),
        ({"size": 600, "tile": 600}, r"photograph astronaut: expected at least 600x600 pixels, got \(512, 512\)"),
    ],
)
def test_photos_that_cannot_be_cut_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        load(settings(**PHOTOS | change))


# ---- Parquet


def write_parquet(path, images, labels, encoded=None, image="img", label="label", names=NAMES, metadata=None):
    """A file as the hub publishes it; `encoded` stands in for the images' bytes."""
    cells = [{"bytes": each, "path": None} for each in encoded or [encode(image) for image in images]]
    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(cells, cell), label: pa.array(labels)})
    if metadata is None and names:
        features = {label: {"names": names, "_type": "ClassLabel"}, image: {"_type": "Image"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=4)


def parquet_settings(folder, **change):
    usual = {"name": "parquet", "train": str(folder), "test": str(folder), "image": None, "label": None}
    return settings(**usual | {"channels": 3, "size": None, "limit": EVERYTHING, "seed": 0} | change)


@pytest.fixture
def hub(tmp_path):
    """A folder with one file for each split, and the images in it: 12 and 6, labels 0 1 2 0 1 2 ..."""
    made = {"train": noise(0, 12), "test": noise(1, 6)}
    for split, images in made.items():
        write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", images, [i % 3 for i in range(len(images))])
    return tmp_path, made


def assert_holds(images, made, labels):
    """Each image made is there once, under its label."""
    expected = sorted((as_pixels(image).numpy().tobytes(), label) for image, label in zip(made, labels, strict=True))
    assert sorted(zip(rows_of(images), images.labels.tolist(), strict=True)) == expected


def test_parquet_gives_back_the_pixels_labels_and_names_that_were_written(hub):
    folder, made = hub
    dataset = load(parquet_settings(folder))
    assert dataset.train.classes == ("ant", "bee", "cat")
    assert_holds(dataset.train, made["train"], [0, 1, 2] * 4)
    assert_holds(dataset.test, made["test"], [0, 1, 2] * 2)
    files = [folder / f"{split}-00000-of-00001.parquet" for split in splits.SPLITS]
    assert dataset.digest == hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_parquet_limits_are_class_balanced_and_follow_the_seed(hub):
    folder, _ = hub
    chosen = [load(parquet_settings(folder, limit={"train": 6, "test": 3}, seed=seed)) for seed in (0, 0, 1)]
    assert torch.bincount(chosen[0].train.labels).tolist() == [2, 2, 2]
    assert torch.bincount(chosen[0].test.labels).tolist() == [1, 1, 1]
    assert rows_of(chosen[0].train) == rows_of(chosen[1].train) != rows_of(chosen[2].train)
    assert rows_of(load(parquet_settings(folder)).train.head(6)) == rows_of(chosen[0].train)


def test_a_split_may_be_several_files_found_by_a_glob(tmp_path):
    images = noise(0, 12)
    for part in range(3):
        chosen = slice(4 * part, 4 * part + 4)
        write_parquet(tmp_path / f"a-{part}.parquet", images[chosen], [i % 3 for i in range(12)][chosen])
    write_parquet(tmp_path / "b.parquet", noise(1, 3), [0, 1, 2])
    pattern, one = str(tmp_path / "a-*.parquet"), str(tmp_path / "b.parquet")
    dataset = load(parquet_settings(tmp_path, train=pattern, test=one))
    assert_holds(dataset.train, images, [0, 1, 2] * 4)


@pytest.mark.parametrize("image", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "labels", "fine_label"])
def test_the_usual_columns_are_found(tmp_path, image, label):
    for split in splits.SPLITS:
        write_parquet(tmp_path / f"{split}.parquet", noise(len(split), 3), [2, 1, 0], image=image, label=label)
    assert load(parquet_settings(tmp_path)).train.classes == ("ant", "bee", "cat")


def test_columns_of_other_names_are_set_and_plain_bytes_are_read(tmp_path):
    for split in splits.SPLITS:
        encoded = [encode(image) for image in noise(len(split), 3)]
        pq.write_table(
            pa.table({"photo": encoded, "kind": pa.array([2, 1, 0], pa.uint8())}), tmp_path / f"{split}.parquet"
        )
    dataset = load(parquet_settings(tmp_path, image="photo", label="kind"))
    assert_holds(dataset.train, noise(5, 3), [2, 1, 0])
    assert dataset.train.classes == ("0", "1", "2")


def test_one_channel_is_luminance_and_three_channels_take_grey_images_too(tmp_path):
    colour = noise(0, 3)
    encoded = [encode(colour[0]), encode(colour[1], mode="L"), encode(colour[2], mode="RGBA")]
    for split in splits.SPLITS:
        write_parquet(tmp_path / f"{split}.parquet", colour, [0, 1, 2], encoded)
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
    for split in splits.SPLITS:
        write_parquet(tmp_path / f"{split}.parquet", None, [0, 1, 2], encoded)
    with pytest.raises(ValueError, match=r"train.parquet: row 1: expected 8x8 pixels .* got 10x16 .*`size`"):
        load(parquet_settings(tmp_path))
    assert load(parquet_settings(tmp_path, size=6)).train.pixels.shape == (3, 3, 6, 6)


def test_splits_of_different_sizes_are_refused(tmp_path):
    write_parquet(tmp_path / "train.parquet", noise(0, 3), [0, 1, 2])
    write_parquet(tmp_path / "test.parquet", noise(0, 3, 3, 9, 9), [0, 1, 2])
    with pytest.raises(ValueError, match=r"expected test images of train's shape \(3, 8, 8\), got \(3, 9, 9\)"):
        load(parquet_settings(tmp_path))


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


def with_cell(cells, place, value):
    return [value if i == place else cell for i, cell in enumerate(cells)]


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
        ({"labels": [0, 1, 2, -1, 1, 2]}, r"row 3: expected a label 0\.\.2, got -1"),
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
        ({"test": "{folder}/validation*.parquet"}, r"test: .*validation\*\.parquet: expected Parquet files"),
        ({"train": "nowhere"}, r"train: nowhere: expected Parquet files, found nothing there from .*absolute path"),
        ({"train": "{folder}/empty"}, r"empty: expected files train\*\.parquet in this folder"),
        ({"image": "picture"}, r"expected column 'picture' \(setting `image`\), got: img, label"),
        ({"image": "label"}, r"column label: expected encoded images, .* got int64"),
        ({"limit": {"train": 13, "test": None}}, r"train: .*: expected a limit from 3 .* to 12 .*, got 13"),
        ({"test": "{folder}/train-00000-of-00001.parquet"}, r"expected a file of one split, got it in train and test"),
        ({"train": "hf://datasets/x"}, r"hf://datasets/x: expected a path or a URL that begins with https://"),
        ({"train": "https://h/{3..1}.parquet"}, r"expected a range that rises, got \{3\.\.1\}"),
    ],
)
def test_parquet_settings_that_find_nothing_are_refused(hub, change, message):
    folder, _ = hub
    (folder / "empty").mkdir()
    filled = {
        key: value.replace("{folder}", str(folder)) if "limit" not in key else value for key, value in change.items()
    }
    with pytest.raises(ValueError, match=message):
        load(parquet_settings(folder, **filled))


@pytest.fixture
def server(tmp_path):
    """The URL of a server of the files in tmp_path."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def send_header(self, keyword, value):
            longer = keyword == "Content-Length" and "broken" in self.path
            super().send_header(keyword, str(int(value) + 1000) if longer else value)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_a_url_is_read_like_a_file_and_a_range_in_it_like_several(tmp_path, server):
    images = noise(0, 6)
    for part in range(2):
        write_parquet(tmp_path / f"part-00{part}.parquet", images[3 * part : 3 * part + 3], [0, 1, 2])
    write_parquet(tmp_path / "last.parquet", noise(1, 3), [0, 1, 2])
    train, test = f"{server}/part-{{000..001}}.parquet", f"{server}/last.parquet?download=true"
    assert_holds(load(parquet_settings(tmp_path, train=train, test=test)).train, images, [0, 1, 2] * 2)


def test_a_url_that_gives_nothing_is_refused(tmp_path, server):
    write_parquet(tmp_path / "train.parquet", noise(0, 3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"absent.parquet: expected a file to download, got none \(HTTP Error 404"):
        load(parquet_settings(tmp_path, test=f"{server}/absent.parquet"))
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/x.parquet: expected a file to download, got none"):
        load(parquet_settings(tmp_path, test="http://127.0.0.1:9/x.parquet"))


def test_a_download_that_breaks_off_is_refused(tmp_path, server):
    for split in ("train", "broken"):
        write_parquet(tmp_path / f"{split}.parquet", noise(0, 3), [0, 1, 2])
    with pytest.raises(ValueError, match=r"broken.parquet: expected \d+ bytes, got \d+: the connection broke"):
        load(parquet_settings(tmp_path, test=f"{server}/broken.parquet"))


# ---- folders of images


def folder_settings(root, **change):
    usual = {"name": "imagefolder", "train": str(root / "train"), "test": str(root / "test"), "channels": 3}
    return settings(**usual | {"size": 8, "limit": EVERYTHING, "seed": 0} | change)


@pytest.fixture
def album(tmp_path):
    """Folders train and test with three classes of four and two images."""
    for split, count in (("train", 4), ("test", 2)):
        for label, name in enumerate(NAMES):
            (tmp_path / split / name).mkdir(parents=True)
            for i, image in enumerate(noise(10 * count + label, count)):
                (tmp_path / split / name / f"{i}.png").write_bytes(encode(image))
    return tmp_path


def test_a_folder_of_images_keeps_pixels_of_the_right_size(album):
    dataset = load(folder_settings(album))
    assert dataset.train.classes == ("ant", "bee", "cat")
    made = np.concatenate([noise(40 + label, 4) for label in range(3)])
    assert_holds(dataset.train, made, [0] * 4 + [1] * 4 + [2] * 4)
    assert sorted(dataset.test.head(3).labels.tolist()) == [0, 1, 2]


def test_folder_limits_follow_the_seed(album):
    one, same, other = (load(folder_settings(album, limit={"train": 6, "test": 3}, seed=seed)) for seed in (0, 0, 1))
    assert torch.bincount(one.train.labels).tolist() == [2, 2, 2]
    assert rows_of(one.train) == rows_of(same.train) != rows_of(other.train)
    assert one.digest == same.digest != other.digest


def test_resizing_keeps_the_aspect_ratio_and_the_centre():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    resized = decode.decode(encode(wide), 3, 10, "here")
    assert resized.shape == (3, 10, 10)
    assert (resized[..., 1:-1] == 255).all()
    assert (resized == resized[..., ::-1]).all() and resized.min() > 230
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = 255
    half = decode.decode(encode(stripes), 3, 8, "here").astype(int)
    assert abs(half - 127).max() < 40  # a frequency beyond the new limit is averaged away, not aliased


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_images_of_the_usual_kinds_are_decoded(kind):
    smooth = np.tile(np.linspace(0, 255, 16, dtype=np.uint8)[:, None, None], (1, 16, 3))
    found = decode.decode(encode(smooth, kind), 3, None, "here")
    assert abs(found.astype(int) - smooth.transpose(2, 0, 1)).mean() < 4


def spoil_image(album):
    file = album / "train" / "bee" / "2.png"
    file.write_bytes(file.read_bytes()[:60])


def empty_class(album):
    for file in (album / "test" / "cat").iterdir():
        file.unlink()


def other_class(album):
    (album / "test" / "cat").rename(album / "test" / "dog")


def stray_text(album):
    (album / "train" / "ant" / "notes.txt").write_text("nice ones")


@pytest.mark.parametrize(
    ("spoil", "change", "message"),
    [
        (spoil_image, {}, r"train/bee/2\.png: expected an image of 8 bits a channel"),
        (stray_text, {}, r"train/ant/notes\.txt: expected an image of 8 bits a channel"),
        (empty_class, {}, r"test: .*expected images of each of 3 classes, got none of cat"),
        (other_class, {}, r"test: expected the classes of .*train, they differ in: cat, dog"),
        (None, {"test": "{album}/valid"}, r"valid: expected a folder with one folder for each class, found nothing"),
        (None, {"test": "{album}/train"}, r"train: expected two folders, got one for train and test"),
        (None, {"test": "{album}/test/ant"}, r"ant: expected one folder for each class, got none"),
        (None, {"limit": {"train": None, "test": 7}}, r"test: .*: expected a limit from 3 .* to 6 .*, got 7"),
    ],
)
def test_a_folder_with_a_fault_is_refused(album, spoil, change, message):
    if spoil:
        spoil(album)
    filled = {key: value.replace("{album}", str(album)) if key == "test" else value for key, value in change.items()}
    with pytest.raises(ValueError, match=message):
        load(folder_settings(album, **filled))


def test_hidden_files_are_not_taken_for_images(album):
    (album / "train" / "ant" / ".DS_Store").write_bytes(b"x")
    assert len(load(folder_settings(album)).train) == 12


# ---- sets that torchvision reads, in their layout on disk


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def torchvision_settings(name, root, **change):
    return settings(**{"name": name, "root": str(root), "download": False, "limit": EVERYTHING, "seed": 0} | change)


@pytest.fixture(scope="module")
def torchvision_datasets():
    import torchvision

    return torchvision.datasets


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return md5(path)


def make_cifar(root, kind, monkeypatch, key, names, parts):
    """Files of torchvision's class `kind`, which is told their checksums: the images (K, H, W, 3) by part."""
    base, images = root / kind.base_folder, {}
    sums = {}
    for seed, part in enumerate(parts):
        images[part] = noise(seed, len(names), 3, 32, 32)
        flat = images[part].transpose(0, 3, 1, 2).reshape(len(names), -1)
        sums[part] = dump(base / part, {"data": flat, key: list(range(len(names)))})
    meta = dump(base / kind.meta["filename"], {kind.meta["key"]: names})
    monkeypatch.setattr(kind, "train_list", [[part, sums[part]] for part in parts[:-1]])
    monkeypatch.setattr(kind, "test_list", [[parts[-1], sums[parts[-1]]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": meta})
    return images


def test_cifar10_is_read_from_its_batches(tmp_path, monkeypatch, torchvision_datasets):
    names = [f"kind{i}" for i in range(10)]
    parts = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    images = make_cifar(tmp_path, torchvision_datasets.CIFAR10, monkeypatch, "labels", names, parts)
    dataset = load(torchvision_settings("cifar10", tmp_path, limit={"train": 30, "test": None}))
    assert dataset.train.classes == tuple(names)
    assert dataset.train.pixels.shape == (30, 3, 32, 32)
    assert torch.bincount(dataset.train.labels).tolist() == [3] * 10
    assert_holds(dataset.test, images["test_batch"], range(10))


def test_cifar100_is_read_with_its_fine_labels(tmp_path, monkeypatch, torchvision_datasets):
    names = [f"kind{i}" for i in range(100)]
    images = make_cifar(tmp_path, torchvision_datasets.CIFAR100, monkeypatch, "fine_labels", names, ["train", "test"])
    dataset = load(torchvision_settings("cifar100", tmp_path))
    assert_holds(dataset.train, images["train"], range(100))


def test_svhn_is_read_with_ten_as_the_digit_zero(tmp_path, monkeypatch, torchvision_datasets):
    from scipy.io import savemat

    kind, listed, images = torchvision_datasets.SVHN, {}, {}
    for seed, split in enumerate(splits.SPLITS):
        images[split], file = noise(seed, 10, 3, 32, 32), f"{split}_32x32.mat"
        labels = np.arange(1, 11, dtype=np.uint8)[:, None]
        savemat(tmp_path / file, {"X": images[split].transpose(1, 2, 3, 0), "y": labels})
        listed[split] = ["http://unused", file, md5(tmp_path / file)]
    monkeypatch.setattr(kind, "split_list", listed)
    dataset = load(torchvision_settings("svhn", tmp_path))
    assert dataset.train.classes == tuple("0123456789")
    assert_holds(dataset.train, images["train"], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0])


def test_stl10_is_read_upright(tmp_path, monkeypatch, torchvision_datasets):
    kind, base, images, sums = torchvision_datasets.STL10, tmp_path / "stl10_binary", {}, {}
    base.mkdir()
    (base / "class_names.txt").write_text("\n".join(f"kind{i}" for i in range(10)))
    for seed, split in enumerate(splits.SPLITS):
        images[split] = noise(seed, 10, 3, 96, 96)
        (base / f"{split}_X.bin").write_bytes(images[split].transpose(0, 3, 2, 1).tobytes())  # column by column
        (base / f"{split}_y.bin").write_bytes(np.arange(1, 11, dtype=np.uint8).tobytes())
        sums[split] = [[f"{split}_{part}.bin", md5(base / f"{split}_{part}.bin")] for part in "Xy"]
    monkeypatch.setattr(kind, "train_list", sums["train"])
    monkeypatch.setattr(kind, "test_list", sums["test"])
    dataset = load(torchvision_settings("stl10", tmp_path))
    assert dataset.train.classes[3] == "kind3"
    assert_holds(dataset.train, images["train"], range(10))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "stl10"])
def test_a_root_without_the_files_is_refused(tmp_path, name, torchvision_datasets):
    with pytest.raises(ValueError, match=rf"expected the train files of {name}, got: Dataset not found or corrupted"):
        load(torchvision_settings(name, tmp_path))
    with pytest.raises(ValueError, match=rf"absent: expected the files of {name}, found nothing there"):
        load(torchvision_settings(name, tmp_path / "absent"))


def test_a_wrong_digest_is_refused_in_one_line(tmp_path, monkeypatch, torchvision_datasets):
    names, parts = [f"kind{i}" for i in range(10)], ["data_batch_1", "test_batch"]
    make_cifar(tmp_path, torchvision_datasets.CIFAR10, monkeypatch, "labels", names, parts)
    with (tmp_path / "cifar-10-batches-py" / "test_batch").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"cifar10, got: Dataset not found or corrupted") as caught:
        load(torchvision_settings("cifar10", tmp_path))
    assert "\n" not in str(caught.value)


def test_a_download_that_fails_is_refused_in_one_line(tmp_path, monkeypatch, torchvision_datasets):
    monkeypatch.setattr(torchvision_datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")
    with pytest.raises(ValueError, match=r"expected the train files of cifar10, got: .*refused") as caught:
        load(torchvision_settings("cifar10", tmp_path / "new", download=True))
    assert "\n" not in str(caught.value)


# ---- settings, and real images


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"dataset\.name: expected one of 'photos', 'planted', 'cifar10'.*got 'imagenet'"
    ):
        settings(name="imagenet", seed=0)
    assert "imagenet" not in SOURCES


@pytest.mark.parametrize(
    ("change", "key"),
    [({"sede": 0}, "dataset.sede: unknown setting"), ({"seed": -1}, "dataset.seed: "), ({"gap": "8"}, "dataset.gap: ")],
)
def test_a_bad_setting_is_refused_by_its_key(change, key):
    with pytest.raises(ValueError, match=key):
        settings(**PHOTOS | change)


@pytest.mark.skipif(REAL is None, reason="SPECTROSCOPE_IMAGES is not set")
def test_real_cifar10_is_read_from_parquet():
    chosen = parquet_settings(Path(REAL) / "cifar10-exact", limit={"train": 500, "test": None})
    dataset = load(chosen)
    assert dataset.train.classes[:3] == ("airplane", "automobile", "bird")
    assert dataset.train.pixels.shape == (500, 3, 32, 32) and dataset.test.pixels.shape == (1017, 3, 32, 32)
    assert torch.bincount(dataset.train.labels).tolist() == [50] * 10
    table = pq.read_table(Path(REAL) / "cifar10-exact" / "test-00000-of-00001.parquet").to_pydict()
    assert torch.bincount(dataset.test.labels).tolist() == np.bincount(table["label"]).tolist()
    first = np.array(Image.open(BytesIO(table["img"][0]["bytes"])))
    assert as_pixels(first).numpy().tobytes() in rows_of(dataset.test)
    means = dataset.train.pixels.double().div(255).mean(dim=(0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), atol=0.02, rtol=0)
    assert isinstance(dataset.train, io.Images)
