"""The stage that loads the data set writes both splits or nothing."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from spectroscope.pipeline import io
from stages import dataset as stage

PHOTOS = {
    "name": "photos",
    "photographs": ["brick", "grass"],
    "size": 16,
    "tile": 32,
    "gap": 4,
    "test_share": 0.25,
    "min_std_255": 4.0,
    "per_class": {"train": 6, "test": 3},
    "seed": 0,
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(workspace, dataset):
    (workspace / "params.yaml").write_text(yaml.safe_dump({"dataset": dataset}))
    out = workspace / "data" / "images"
    stage.main(out / "train.parquet", out / "test.parquet")
    return out


def test_the_stage_writes_both_splits_with_their_source_and_digest(workspace):
    out = run(workspace, PHOTOS)
    train, test = (io.read_images(out / f"{split}.parquet") for split in ("train", "test"))
    assert train.pixels.shape == (12, 3, 16, 16) and test.pixels.shape == (6, 3, 16, 16)
    assert train.pixels.dtype == torch.float32 and 0 <= train.pixels.min() < train.pixels.max() <= 1
    facts = json.loads(pq.read_schema(out / "train.parquet").metadata[b"spectroscope"])
    assert facts["dtype"] == "uint8" and facts["source"] == "photos" and len(facts["digest"]) == 64


def test_pandas_reads_what_the_stage_writes(workspace):
    out = run(workspace, PHOTOS)
    table = pd.read_parquet(out / "test.parquet")
    assert table["label"].value_counts().to_dict() == {0: 3, 1: 3}
    image = np.frombuffer(table["pixels"][0], np.uint8).reshape(3, 16, 16)
    np.testing.assert_array_equal(image, io.read_images(out / "test.parquet").pixels[0].mul(255).round().numpy())


def test_the_same_settings_give_the_same_bytes(workspace):
    first = [(run(workspace, PHOTOS) / f"{split}.parquet").read_bytes() for split in ("train", "test")]
    again = [(run(workspace, PHOTOS) / f"{split}.parquet").read_bytes() for split in ("train", "test")]
    assert first == again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, "dataset.sede: unknown setting"),
        ({"name": "phtos"}, "phtos"),
        ({"per_class": {"train": 6, "test": 10**6}}, "expected 1000000 test patches"),
    ],
)
def test_nothing_is_written_when_a_split_is_bad(workspace, change, message):
    with pytest.raises(ValueError, match=message):
        run(workspace, PHOTOS | change)
    assert not (workspace / "data").exists()
