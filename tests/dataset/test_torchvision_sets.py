"""Sets that torchvision reads, in their layout on disk."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from dataset_cases import NO_LIMIT, assert_holds, noise, settings

from spectroscope.dataset import splits
from spectroscope.dataset.registry import load


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def torchvision_settings(name, root, **change):
    return settings(**{"name": name, "root": str(root), "download": False, "limit": NO_LIMIT, "seed": 0} | change)


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
