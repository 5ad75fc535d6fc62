"""The stage evaluation: every band and every attack is looked up in its own images and rows."""

import pandas as pd
import torch
import yaml

from spectroscope.models import inference
from spectroscope.models.architectures import build
from spectroscope.pipeline import io, machine
from stages import evaluation

SHAPE, CLASSES, N = (3, 12, 12), ("a", "b", "c"), 10
CLUSTERS = torch.arange(N + 2) // 4


def test_every_set_of_images_is_predicted_by_every_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = torch.rand(3, N + 2, *SHAPE, generator=machine.generator(0))
    pixels = dict(zip(("clean", "low", "high"), sets, strict=True))
    labels = torch.arange(N + 2) % 3
    for name, x in pixels.items():
        file = "test.parquet" if name == "clean" else f"bands/{name}/test.parquet"
        io.write_images(tmp_path / file, io.Images(x, labels, CLASSES, CLUSTERS))
    for seed in (0, 4):
        with torch.random.fork_rng():
            machine.seed(seed)
            network = build("resnet8", SHAPE, 3).eval()
        with torch.no_grad():
            network[-1][-1].bias -= network(sets.flatten(0, 1)).mean(0)  # every class is predicted somewhere
        io.write_weights(tmp_path / f"models/one/seed{seed}.safetensors", network)
    rows = pd.DataFrame({"seed": 4, "variant": "", "image": range(3), "label": [0, 1, 2], "after": [0, 2, 2]})
    io.write_arrays(tmp_path / "attacks/one/pgd.parquet", torch.zeros(3, *SHAPE), rows)
    fgsm = {"method": "fgsm", "n_images": 3, "target": None, "eps_255": 8}
    ddn = {"method": "ddn", "n_images": 3, "target": None, "steps": 1, "initial_norm": 1.0, "gamma": 0.1}
    attacks = {"pgd": fgsm, "without-a-ball": ddn}  # the file of the second is not there: it has no accuracy
    study = {"runs": {"one": {"model": "resnet8"}}, "bands": {"low": {}, "high": {}}, "attacks": attacks}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**study, "evaluation": {"n_images": N}}, sort_keys=False))

    paths = (tmp_path / name for name in ("models", "test.parquet", "bands", "attacks", "out.parquet", "machine.json"))
    evaluation.main(*paths)

    table = io.read_table(tmp_path / "out.parquet")
    assert list(table) == evaluation.COLUMNS and set(table["run"]) == {"one"} and len(table) == 2 * 3 * N + 3
    right = {}
    for seed, model in inference.restore_all(tmp_path / "models/one", "resnet8", SHAPE, 3):
        for name, x in pixels.items():
            found = table[(table["seed"] == seed) & (table["name"] == name)]
            right[seed, name] = (model(x[:N]).argmax(1) == labels[:N]).tolist()
            assert found["right"].tolist() == right[seed, name]
            assert set(found["kind"]) == {"attack" if name == "clean" else "band"}
            assert found["image"].tolist() == list(range(N)) and found["label"].tolist() == labels[:N].tolist()
    assert len(set(map(tuple, right.values()))) == 6  # no two of them could be mistaken for each other
    assert table["cluster"].tolist() == [int(CLUSTERS[image]) for image in table["image"]]
    attacked = table[table["name"] == "pgd"]
    assert attacked["right"].tolist() == [True, False, True] and set(attacked["seed"]) == {4}
    assert set(attacked["kind"]) == {"attack"}
    assert io.read_json(tmp_path / "machine.json") == machine.describe()
