"""The stage attack_checks, on networks that learned next to nothing."""

import copy
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from spectroscope.models import inference
from spectroscope.pipeline import io, machine
from spectroscope.statistics.estimates import SUMMARY
from stages import attack_checks, attacks

SHAPE, CLASSES = (3, 12, 12), ("a", "b", "c")
LOW = {"keep": "inside", "basis": "dct", "shape": "linf", "unit": "shells", "low": 0, "high": 6, "clip": False}
BALL = {"norm": "l2", "eps": 1.5}
STEPS = {"target": None, "step_size": 0.5, "steps": 3, "random_start": True}
ATTACKS = {
    "blind": {"method": "noise", "n_images": 12, **BALL, "kinds": ["gaussian", "pink"]},
    "bands": {"method": "confined", "n_images": 10, **BALL, **STEPS, "direction": "l2", "coefficients": None},
    "simba": {
        "method": "simba",
        "n_images": 12,
        "target": None,
        "basis": "dct",
        "freq_dims": None,
        "eps_255": None,
        "step_size": 0.5,
        "max_queries": 60,
    },
    "fgsm": {"method": "fgsm", "n_images": 12, "target": None, "eps_255": [4, 40]},
    "cw": {  # hardly moves: a white box that others beat
        "method": "cw",
        "n_images": 12,
        "target": None,
        "eps": BALL["eps"],
        "confidence": 0,
        "learning_rate": 1e-6,
        "initial_const": 1e-3,
        "search_steps": 1,
        "steps": 1,
    },
}
ATTACKS["bands"]["bands"] = {"low": LOW, "high": {**LOW, "keep": "outside"}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strength")
    x = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0))
    pixels = (x * 255).round().to(torch.uint8)
    with torch.random.fork_rng():
        machine.seed(0)
        network = inference.build("resnet8", SHAPE, len(CLASSES)).eval()
    with torch.no_grad():
        network[-1][-1].bias -= network(x).mean(0)  # every class is predicted somewhere
    first = copy.deepcopy(network.state_dict())
    for number, run in enumerate(("one", "two")):
        for seed in (0, 1):  # relatives of one network, so that they agree on most labels
            generator = torch.Generator().manual_seed(2 * number + seed)
            near = {
                name: value * (1 + 0.02 * torch.randn(value.shape, generator=generator)) if value.ndim > 1 else value
                for name, value in first.items()
            }
            network.load_state_dict(near)
            io.write_weights(folder / "models" / run / f"seed{seed}.safetensors", network)
    labels = network(x).argmax(1)
    io.write_images(folder / "test.parquet", io.Images(pixels, labels, CLASSES))
    content = {
        "runs": {run: {"model": "resnet8"} for run in ("one", "two")},
        "attacks": ATTACKS,
        "attack_checks": {"transfer": ["fgsm", "bands"]},
        "statistics": {"confidence": 0.9, "groups": 5},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for run in ("one", "two"):
            for name in ATTACKS:
                out = folder / "attacks" / run / f"{name}.parquet"
                attacks.main(run, name, folder / "models" / run, folder / "test.parquet", out)
        inputs = folder / "models", folder / "test.parquet", folder / "attacks"
        attack_checks.main(*inputs, folder / "tables", folder / "estimates.parquet", folder / "warnings.json")
    return folder


def test_every_attack_of_every_run_has_its_strength(workspace):
    table = io.read_table(workspace / "tables" / "attacks.csv")
    names = ["blind gaussian", "blind pink", "bands low", "bands high", "simba", "fgsm 4/255", "fgsm 40/255", "cw"]
    assert table[["run", "attack"]].to_numpy().tolist() == [[run, name] for run in ("one", "two") for name in names]
    kinds = ["control", "control", "confined", "confined", "black box", "single step", "single step", "white box"]
    assert table["kind"].tolist() == kinds * 2
    assert table["eps"].tolist()[:4] == [1.5] * 4 and table["eps"].isna().tolist()[4] and list(table)[-6:] == SUMMARY
    for run, name, mean in table[["run", "attack", "mean"]].itertuples(index=False):
        entry, _, variant = name.partition(" ")
        _, rows, _ = io.read_arrays(workspace / "attacks" / run / f"{entry}.parquet")
        rows = rows[(rows["variant"] == variant) & (rows["before"] == rows["label"])]
        assert mean == pytest.approx(rows.groupby("seed")["success"].mean().mean(), rel=1e-5)


def test_black_boxes_have_a_query_curve_and_bands_a_row_each(workspace):
    curve = io.read_table(workspace / "tables" / "queries.csv")
    assert set(curve["attack"]) == {"simba"} and list(curve)[-6:] == SUMMARY
    assert all(part["mean"].is_monotonic_increasing for _, part in curve.groupby("run"))
    bands = io.read_table(workspace / "tables" / "confined.csv")
    assert bands[["run", "band"]].to_numpy().tolist() == [[r, b] for r in ("one", "two") for b in ("low", "high")]
    assert (bands["l2"] == 1.5).all() and bands["relied"].abs().between(0, 1, inclusive="neither").all()
    assert bands["coefficients"].tolist() == [36, 108] * 2


def test_perturbations_are_tried_on_the_other_run(workspace):
    table = io.read_table(workspace / "tables" / "attack_transfer.csv")
    assert set(table["attack"]) == {"fgsm 4/255", "fgsm 40/255", "bands low", "bands high"}
    assert set(map(tuple, table[["source", "run"]].to_numpy())) == {("one", "two"), ("two", "one")}
    test = io.read_images(workspace / "test.parquet")
    for attack, source, run, mean in table[["attack", "source", "run", "mean"]].itertuples(index=False):
        change, rows = io.read_attack(workspace / "attacks" / source / f"{attack.split()[0]}.parquet")[attack]
        shares = []  # of each network
        for seed, model in inference.restore_all(workspace / "models" / run, "resnet8", SHAPE, 3):
            own, fooled = rows[(rows["seed"] == seed) & rows["success"]], []
            for place, image in zip(own.index, own["image"], strict=True):
                label, x = int(test.labels[image]), test.pixels[image : image + 1]
                if int(model(x).argmax()) == label:
                    fooled.append(int(model(x + change[place]).argmax()) != label)
            shares += [sum(fooled) / len(fooled)] if fooled else []
        assert mean == pytest.approx(sum(shares) / len(shares), rel=1e-4), (attack, source)


def test_a_white_box_that_others_beat_is_warned_of(workspace):
    warnings = io.read_json(workspace / "warnings.json")
    assert {run: set(signs) for run, signs in warnings.items()} == {
        "one": {"bands low", "bands high", "simba", "bands low from two", "bands high from two"},
        "two": {"bands low", "bands high", "simba", "bands low from one", "bands high from one"},
    }
    assert "than the strongest white box, cw, at l2 1.5: gradients may be masked" in warnings["one"]["simba"]


def test_one_network_stands_beside_three_seeds(workspace, tmp_path, monkeypatch):
    """As a run of given weights does: its network i is paired with network i of the other run."""
    shutil.copytree(workspace, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    shutil.copy("models/one/seed1.safetensors", "models/one/seed2.safetensors")
    Path("models/two/seed1.safetensors").unlink()
    for run in ("one", "two"):
        for name in ATTACKS:
            out = tmp_path / "attacks" / run / f"{name}.parquet"
            attacks.main(run, name, tmp_path / "models" / run, tmp_path / "test.parquet", out)
    inputs = tmp_path / "models", tmp_path / "test.parquet", tmp_path / "attacks"
    attack_checks.main(*inputs, tmp_path / "tables", tmp_path / "estimates.parquet", tmp_path / "warnings.json")
    table = io.read_table(tmp_path / "tables" / "attacks.csv")
    assert table.groupby("run")["n_seeds"].unique().map(list).to_dict() == {"one": [3], "two": [1]}
    both = [io.read_table(folder / "tables" / "attack_transfer.csv") for folder in (tmp_path, workspace)]
    first = [[float(str(row).split()[0]) for row in table["networks"]] for table in both]
    assert set(both[0]["n_seeds"]) == {1} and first[0] == first[1]
