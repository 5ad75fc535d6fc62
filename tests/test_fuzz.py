"""Damaged files and odd settings give the right result or an error of a sentence: no traceback, no other result.

The mutations are drawn from fixed seeds. A network that computes and a file that loads must be those of before.
"""

import copy
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from dataset_cases import NAMES, NO_LIMIT, encode, noise, rows_of, settings
from torch import nn

from spectroscope import counts
from spectroscope.dataset.registry import load
from spectroscope.models.architectures import Network, Normalise
from spectroscope.models.loading import load_weights
from spectroscope.pipeline import io, params
from spectroscope.study import Study

ROOT = Path(__file__).parents[1]
ODD = [
    None,
    True,
    -1,
    0,
    0.5,
    1e300,
    -1e300,
    10**12,
    2**63,
    10**400,
    "",
    "x",
    "None",
    "0x10",
    "/",
    "\x00",
    "\ud800",
    [],
    {},
]
ODD += [[[]], [None], {"a": 1}, [1, 1], ["x", "x"], float("nan"), float("inf"), "☃" * 300, [0] * 50]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The bytes of a file after one accident of a disk or a download."""
    place, length = draw.randrange(len(content)), draw.randrange(1, 64)
    kinds = [
        content[:place],
        content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :],
        content[:place] + bytes(length) + content[place + length :],
        content[:place] + draw.randbytes(length) + content[place + length :],
        content[:place] + content[place + length :],
        content[:place] + draw.randbytes(length) + content[place:],
        content + draw.randbytes(length),
        content[place:],
    ]
    return draw.choice(kinds)


def sentence(error: ValueError, *names: str) -> None:
    """An error that names what is wrong, and is short enough to be read."""
    text = str(error)
    assert any(name in text for name in names), text
    assert "expected" in text and len(text) < 1000 and "Traceback" not in text, text


def test_a_damaged_parquet_file_gives_its_images_or_a_sentence(tmp_path):
    images = {"train": noise(0, 12), "test": noise(1, 6)}
    for split, pixels in images.items():
        features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        labels = [i % 3 for i in range(len(pixels))]
        table = pa.table({"img": [encode(image) for image in pixels], "label": labels}).replace_schema_metadata(
            metadata
        )
        pq.write_table(table, tmp_path / f"{split}.parquet", row_group_size=5, write_page_checksum=True)
    usual = {"name": "parquet", "train": str(tmp_path), "test": str(tmp_path), "image": None, "label": None}
    chosen = settings(**usual, channels=3, size=None, limit=NO_LIMIT, seed=0)
    whole, good, file = load(chosen), (tmp_path / "train.parquet").read_bytes(), tmp_path / "train.parquet"
    draw, errors = random.Random(0), 0
    for _ in range(300):
        file.write_bytes(damaged(good, draw))
        try:
            found = load(chosen)
        except ValueError as error:
            sentence(error, str(file), "train", "test.parquet")
            errors += 1
            continue
        # Names of classes and of columns stand in the footer, which has no checksum; pixels and labels have one.
        assert rows_of(found.train) == rows_of(whole.train)
        assert torch.equal(found.train.labels, whole.train.labels)
    assert errors > 200


def leaves(settings, path=()):
    """The key path of every value, mappings and lists included."""
    items = (
        settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("name", ["params.yaml", "studies/full.yaml"])
def test_odd_settings_are_valid_for_some_images_or_named(name):
    study = params.read(ROOT / name)
    places = list(leaves(study))
    labels = torch.arange(60) % 12
    images = io.Images(torch.rand(60, 3, 32, 32), labels, tuple(map(str, range(12))))
    draw = random.Random(1)
    for _ in range(50):
        changed, path = copy.deepcopy(study), draw.choice(places)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = draw.choice(ODD)
        try:
            params.validate(changed, Study, "")
        except ValueError as error:
            sentence(error, "params.yaml")
            continue
        for line in counts.faults(changed, images, images):
            assert "expected" in line and len(line) < 1000, line


def test_a_damaged_parameter_file_is_read_or_named(tmp_path):
    good, draw = (ROOT / "studies" / "smoke.yaml").read_bytes(), random.Random(2)
    for _ in range(50):
        (tmp_path / "params.yaml").write_bytes(damaged(good, draw))
        try:
            params.validate(params.read(tmp_path / "params.yaml"), Study, "", tmp_path / "params.yaml")
        except ValueError as error:
            assert "params.yaml: " in str(error) and "Traceback" not in str(error), error


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))


def small():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(Normalise(3), Small())


ODD_TENSORS = [
    lambda x: x.to(torch.int64),
    lambda x: x > 0,
    lambda x: x.to(torch.complex64),
    lambda x: x.to_sparse(),
    lambda x: x.to("meta"),
    lambda x: x[None],
    lambda x: x.flatten()[:0],
    lambda x: x.double(),
    lambda x: x.half(),
    lambda x: 3.0,
    lambda x: None,
    lambda x: [x],
    lambda x: {"weight": x},
]


@pytest.mark.parametrize("kind", ["weights.safetensors", "weights.pt", "state.pt"])
def test_damaged_weights_are_those_of_before_or_named(kind, tmp_path):
    model, file, draw = small(), tmp_path / kind, random.Random(3)
    io.write_weights(file, model) if kind.endswith("safetensors") else torch.save(model.state_dict(), file)
    good, state = file.read_bytes(), model.state_dict()
    exact, errors = lambda x: x, 0
    for _ in range(17):
        change = exact
        if kind == "state.pt":
            name, change = draw.choice(list(state)), draw.choice(ODD_TENSORS)
            torch.save({**state, name: change(state[name]), draw.choice([7, name, ("a",)]): change(state[name])}, file)
        else:
            file.write_bytes(damaged(good, draw))
        found = small()
        for weight in found.parameters():
            nn.init.zeros_(weight)
        try:
            load_weights(found, file, None, "own")
        except ValueError as error:
            sentence(error, str(file))
            errors += 1
            continue
        loaded = found.state_dict()
        assert all(torch.allclose(value.double(), loaded[name].double(), atol=1e-3) for name, value in state.items())
    assert errors > 5
