"""What holds for every data set, whatever it is read from."""

import pytest
from dataset_cases import NO_LIMIT, PHOTOS, encode, noise, settings

from spectroscope.dataset.registry import DATASETS, load


def album(root, **sizes):
    """Settings of folders train and test with one image of each class; `sizes` by split."""
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            (root / split / name / "0.png").write_bytes(encode(noise(0, 1, 3, *sizes.get(split, (8, 8)))[0]))
    folders = {split: str(root / split) for split in ("train", "test")}
    return {"name": "imagefolder", **folders, "channels": 3, "size": None, "limit": NO_LIMIT, "seed": 0}


def test_splits_of_different_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected test images of train's shape \(3, 8, 8\), got \(3, 9, 9\)"):
        load(settings(**album(tmp_path, test=(9, 9))))


def test_a_single_class_is_refused(tmp_path):
    values = album(tmp_path)
    for split in ("train", "test"):
        (tmp_path / split / "bee" / "0.png").unlink()
        (tmp_path / split / "bee").rmdir()
    with pytest.raises(ValueError, match=r"imagefolder: expected at least two classes, got ant"):
        load(settings(**values))


def test_an_unknown_data_set_is_refused_with_the_known_ones():
    known = ", ".join(f"'{name}'" for name in DATASETS)
    with pytest.raises(ValueError, match=rf"dataset\.name: expected one of {known}, got 'imagenet'"):
        settings(name="imagenet", seed=0)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"sede": 0}, "dataset.sede: unknown setting"), ({"seed": -1}, "dataset.seed: "), ({"gap": "8"}, "dataset.gap: ")],
)
def test_a_bad_setting_is_refused_by_its_key(change, key):
    with pytest.raises(ValueError, match=key):
        settings(**PHOTOS | change)
