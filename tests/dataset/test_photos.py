"""Patches of bundled photographs."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_cases import PHOTOS, noise, settings
from PIL import Image

from spectroscope.dataset import photos
from spectroscope.dataset.registry import load
from spectroscope.pipeline.machine import generator


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


def test_the_cluster_of_a_patch_is_its_tile_of_its_photograph():
    dataset, owners, places = load(settings(**PHOTOS)), {}, {}
    period = PHOTOS["tile"] + PHOTOS["gap"]
    for split, images in (("train", dataset.train), ("test", dataset.test)):
        for pixels, label, cluster in zip(images.pixels, images.labels.tolist(), images.clusters.tolist(), strict=True):
            windows = photograph(PHOTOS["photographs"][label]).unfold(0, 32, 1).unfold(1, 32, 1)
            corners = torch.nonzero(windows[:, :, 0, 0] == pixels[0, 0, 0])
            (corner,) = [corner for corner in corners.tolist() if torch.equal(windows[tuple(corner)], pixels[0])]
            tile = (label, corner[0] // period, corner[1] // period)
            assert places.setdefault(cluster, tile) == tile and owners.setdefault(cluster, split) == split
    assert len(set(places.values())) == len(places) < len(dataset.train)


@pytest.mark.parametrize(("name", "gap"), [("coins", 0), ("coins", 20), ("moon", 8)])
def test_train_and_test_patches_lie_apart_by_the_gap(name, gap):
    chosen = settings(**PHOTOS | {"gap": gap, "per_class": {"train": 300, "test": 80}})
    source = photograph(name)
    corners = photos.positions(source, name, chosen, generator(3))
    assert {split: len(rows.unique(dim=0)) for split, rows in corners.items()} == {"train": 300, "test": 80}
    covered = {split: torch.zeros(source.shape, dtype=torch.bool) for split in corners}
    for split, reach in (("train", gap), ("test", 0)):
        for top, left in corners[split].tolist():
            covered[split][max(top - reach, 0) : top + 32 + reach, max(left - reach, 0) : left + 32 + reach] = True
    assert covered["train"].any() and covered["test"].any()
    assert not (covered["train"] & covered["test"]).any()


def test_near_flat_patches_are_left_out():
    dataset = load(settings(**PHOTOS | {"min_std_255": 12.0}))
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
