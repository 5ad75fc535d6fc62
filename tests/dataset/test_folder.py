"""Folders of images."""

import shutil

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


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".thumbs", "@eaDir", "__MACOSX"])
def test_what_programs_leave_behind_is_no_image_and_no_class(album, name):
    for place in ("train", "train/ant", "test/bee"):
        (album / place / name).mkdir()
        (album / place / name / "0.png").write_bytes(encode(noise(99, 1)[0]))
    dataset = load(folder_settings(album))
    assert dataset.train.classes == ("ant", "bee", "cat") and (len(dataset.train), len(dataset.test)) == (12, 6)


def test_links_to_folders_and_files_are_followed_once(album):
    (album / "more").mkdir()
    (album / "more" / "x.png").write_bytes(encode(noise(98, 1)[0]))
    (album / "train" / "ant" / "linked").symlink_to(album / "more")
    (album / "train" / "ant" / "loop").symlink_to(album / "train" / "ant")
    (album / "train" / "bee" / "y.png").symlink_to(album / "more" / "x.png")
    assert torch.bincount(load(folder_settings(album)).train.labels).tolist() == [5, 5, 4]


@pytest.mark.parametrize("place", ["train/ant/gone.png", "test/gone"])
def test_a_link_that_leads_nowhere_is_named(album, place):
    (album / place).symlink_to(album / "nowhere")
    with pytest.raises(ValueError, match=rf"{place}: expected .*, got a link that leads nowhere"):
        load(folder_settings(album))


@pytest.mark.parametrize("seed", range(4))
def test_a_file_that_is_no_image_is_named_whether_it_is_drawn_or_not(album, seed):
    stray_text(album)
    with pytest.raises(ValueError, match=r"train/ant/notes\.txt: expected an image"):
        load(folder_settings(album, limit={"train": 3, "test": 3}, seed=seed))


def test_a_copy_or_a_link_of_the_training_images_is_no_test_set(album):
    (album / "link").symlink_to(album / "train")
    with pytest.raises(ValueError, match="expected two folders, got one for train and test"):
        load(folder_settings(album, test=str(album / "link")))
    shutil.copytree(album / "train", album / "copy")
    with pytest.raises(ValueError, match="test images that are not training images, got 12 of 12 that are"):
        load(folder_settings(album, test=str(album / "copy")))
