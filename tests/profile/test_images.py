"""Images are found in folders, Parquet, arrays and data sets; labels and what was done to the pixels are known."""

import numpy as np
import pytest
import torch
from PIL import Image

from spectroscope.profile import images, labels, pixels


def write(path, size=(20, 30), value=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 50, 20)).save(path, **options)


def test_a_folder_by_class_gives_labels_and_each_class_in_turn(tmp_path):
    for k, name in enumerate(("cat", "dog")):
        for i in range(5):
            write(tmp_path / name / f"{i}.png", value=100 * k)
    chosen = images.choose(str(tmp_path), 6, 0)
    assert chosen.classes == ("cat", "dog") and chosen.total == 10
    assert sorted(chosen.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    decoded = pixels.decode(chosen, 3, (8, 8), 1.0)
    assert decoded.pixels[:, 0].mean((1, 2)).round(decimals=3).tolist() == pytest.approx(
        [100 / 255 * k for k in chosen.labels.tolist()], abs=1e-3
    )


def test_of_folders_of_splits_the_test_images_are_read(tmp_path):
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            write(tmp_path / split / name / "0.png")
    chosen = images.choose(str(tmp_path), 6, 0)
    assert all("/val/" in origin for _, origin in chosen.encoded) and "val" in chosen.notes[0]


def test_a_flat_folder_has_no_labels_unless_its_names_are_wordnet_ids(tmp_path):
    for name in ("a.png", "b.png"):
        write(tmp_path / "flat" / name)
    assert images.choose(str(tmp_path / "flat"), 6, 0).labels is None
    for name in ("n01440764_tench.png", "n01530575_brambling.png"):
        write(tmp_path / "ids" / name)
    chosen = images.choose(str(tmp_path / "ids"), 6, 0)
    assert chosen.classes == ("n01440764", "n01530575") and sorted(chosen.labels.tolist()) == [0, 1]


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    decoded = pixels.decode(images.choose(str(tmp_path), 6, 0), 3, (8, 8), 1.0)
    assert len(decoded.pixels) == 1 and "b.png" in decoded.unreadable[0]
    (tmp_path / "a.png").write_bytes(b"neither")
    with pytest.raises(ValueError, match=r"expected images that can be read, got none of 2: .*\(no known format\)"):
        pixels.decode(images.choose(str(tmp_path), 6, 0), 3, (8, 8), 1.0)


@pytest.mark.parametrize(
    ("names", "words"),
    [([], "expected images .* found none"), (["only/a.png", "only/b.png"], "expected images of at least two classes")],
)
def test_folders_without_images_or_with_one_class_are_refused(tmp_path, names, words):
    for name in names:
        write(tmp_path / name)
    with pytest.raises(ValueError, match=words):
        images.choose(str(tmp_path), 6, 0)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_arrays_are_read_in_every_layout_with_their_labels(tmp_path, layout, suffix):
    shape = {"NCHW": (6, 3, 8, 10), "NHWC": (6, 8, 10, 3), "NHW": (6, 8, 10)}[layout]
    x, y = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), np.array([0, 1, 2, 0, 1, 2])
    path = tmp_path / f"x{suffix}"
    np.savez(path, x=x, y=y) if suffix == ".npz" else torch.save({"x": torch.tensor(x), "y": torch.tensor(y)}, path)
    chosen = images.choose(str(path), 6, 0)
    decoded = pixels.decode(chosen, 1 if layout == "NHW" else 3, (8, 10), 1.0)
    assert decoded.pixels.shape == (6, 1 if layout == "NHW" else 3, 8, 10)
    first = (x[:, None] if layout == "NHW" else x.transpose(0, 3, 1, 2) if layout == "NHWC" else x) / 255
    order = [int(np.argmin(np.abs(first - p.numpy()).sum((1, 2, 3)))) for p in decoded.pixels]
    assert chosen.labels.tolist() == y[order].tolist()


def test_an_image_is_cropped_and_resized_without_changing_its_proportions():
    array = np.zeros((3, 40, 80), np.uint8)
    array[:, :, 20:60] = 200  # the central square
    shown = pixels.resized(array, (8, 8), 1.0)
    assert (shown[:, :, 2:6] == 200).all() and (shown[:, :, [0, -1]] > 150).all()  # the filter reaches over the edge
    assert (pixels.resized(array, (8, 8), 0.5) == 200).all()
    assert pixels.resized(array, (40, 80), 0.875) is array


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_the_quality_of_a_jpeg_file_is_read_from_its_table(tmp_path, quality):
    write(tmp_path / "a.jpg", quality=quality)
    with Image.open(tmp_path / "a.jpg") as image:
        assert pixels.jpeg_quality(image) == pytest.approx(quality, abs=1)


def test_bundled_photographs_are_a_data_set():
    chosen = images.choose("photos", 16, 0)
    assert len(chosen.array) == 16 and len(chosen.classes) == 8


def test_classes_are_matched_by_names_ids_and_order():
    assert labels.columns(("Grey Fox, gray fox", "Zebra"), ("zebra", "gray-fox"), 2)[0] == [1, 0]
    assert labels.columns(None, ("n01440764_tench", "n01443537"), 1000)[0] == [0, 1]
    assert labels.columns(None, ("a", "b"), 2)[0] == [0, 1]
    assert labels.columns(None, ("a", "b"), 3)[0] is None
    assert labels.columns(("p", "q"), ("a", "b"), 2)[0] is None
    assert labels.columns(("p, q", "r"), ("p", "q"), 2) == (
        None,
        "Several classes of the images have the name of one output",
    )


def test_the_ids_of_imagenet_are_a_thousand_sorted_ones():
    ids = labels.wordnet_ids()
    assert len(ids) == 1000 and ids == sorted(set(ids)) and ids[340] == "n02391049"  # zebra


def test_among_the_classes_of_the_images_another_winner_does_not_count():
    logits = torch.tensor([[1.0, 5.0, 0.0], [0.0, 5.0, 2.0]])
    assert labels.among(logits, torch.tensor([0, 0]), [0, 2]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.txt", "cat\ndog\n"), ("c.csv", "index,class\n10,dog\n2,cat\n"), ("d.csv", "class\ncat\ndog\n")],
)
def test_a_list_of_classes_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert labels.class_list(tmp_path / name) == ("cat", "dog")
