"""Folders of images."""

import numpy as np
import pytest
import torch
from dataset_cases import NAMES, NO_LIMIT, assert_holds, encode, noise, rows_of, settings

from spectroscope.dataset.registry import load


def folder_settings(root, **change):
    usual = {"name": "imagefolder", "train": str(root / "train"), "test": str(root / "test"), "channels": 3}
    return settings(**usual | {"size": 8, "limit": NO_LIMIT, "seed": 0} | change)


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
    images = np.concatenate([noise(40 + label, 4) for label in range(3)])
    assert_holds(dataset.train, images, [0] * 4 + [1] * 4 + [2] * 4)
    assert sorted(dataset.test.head(3).labels.tolist()) == [0, 1, 2]


def test_folder_limits_follow_the_seed(album):
    one, same, other = (load(folder_settings(album, limit={"train": 6, "test": 3}, seed=seed)) for seed in (0, 0, 1))
    assert torch.bincount(one.train.labels).tolist() == [2, 2, 2]
    assert rows_of(one.train) == rows_of(same.train) != rows_of(other.train)
    assert one.digest == same.digest != other.digest


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
