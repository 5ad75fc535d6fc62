"""The stage on a run of convolutions and one of linear layers."""

from pathlib import Path

import pandas as pd
import torch
import yaml
from torch import nn

from spectroscope.models import inference
from spectroscope.pipeline import io, machine, params
from stages import probing

ROOT = Path(__file__).parents[2]
SHAPE, CLASSES, N = (3, 8, 8), ("a", "b"), 4


def mlp(channels, classes, small):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 16), nn.ReLU(), nn.Linear(16, classes))


def test_the_only_layer_with_maps_of_a_network_of_linear_layers_is_its_normalisation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = ["flat", "standard"]
    study = params.read(ROOT / "studies" / "smoke.yaml")
    models = {"flat": f"{__name__}:mlp", "standard": "resnet8"}
    study["runs"] = {run: {"model": models[run]} for run in runs}
    study["probing"]["layers"] = {"n_images": N, "partition": "octave", "bands": None, "seed": 0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(study))
    x, attack = torch.rand(N, *SHAPE, generator=machine.generator(0)), study["probing"]["masks"]["attack"]
    io.write_images(Path("test.parquet"), io.Images(x, torch.arange(N) % 2, CLASSES))
    rows = pd.DataFrame({"variant": "", "seed": 0, "image": range(N), "after": 0, "success": False})
    for run in runs:
        io.write_weights(Path("models", run, "seed0.safetensors"), inference.build(models[run], SHAPE, len(CLASSES)))
        io.write_chunks(Path("attacks", run, f"{attack}.parquet"), [(torch.zeros_like(x), rows)])

    probing.main(Path("models"), Path("test.parquet"), Path("attacks"), Path("tables"), Path("estimates.parquet"))

    layers = pd.read_csv("tables/layers.csv")
    of_run = {run: rows["layer"].unique().tolist() for run, rows in layers.groupby("run")}
    assert of_run["flat"] == ["0 Normalise"] and "1.0 Conv2d" in of_run["standard"]
    for name in ("margins", "masks", "counterparts"):
        assert pd.read_csv(f"tables/{name}.csv")["run"].unique().tolist() == runs
